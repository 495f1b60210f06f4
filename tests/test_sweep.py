"""The sweep against a main.py that trains nothing: what is started, skipped, failed, interrupted and submitted."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softaug_jax import sweep

ROOT = Path(__file__).parents[1]
# It logs its arguments, fails or waits where a file says so, and leaves what main.py leaves.
FAKE_MAIN = """
import json, pathlib, runpy, signal, sys, time
options = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
workdir = pathlib.Path(options["workdir"])
with open("log", "a") as log:
    print(*sys.argv[1:], file=log)
asked = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: asked.append(number))
if pathlib.Path("fail").exists() and pathlib.Path("fail").read_text() in options["workdir"]:
    sys.exit("this one fails")
workdir.mkdir(parents=True, exist_ok=True)
if not (workdir / "config.json").exists():
    path, _, argument = options["config"].partition(":")
    config = runpy.run_path(path)["get_config"](argument)
    config.update_from_flattened_dict({
        field.removeprefix("config."): float(value) if value[0].isdigit() else value
        for field, value in options.items() if field.startswith("config.")
    })
    (workdir / "config.json").write_text(json.dumps(config.to_dict()))
print("training")
if pathlib.Path("wait").exists():
    pathlib.Path("waiting").touch()
    for _ in range(1000):
        time.sleep(0.01)
        if asked:
            time.sleep(0.1)
            pathlib.Path("asked").write_text(repr([int(number) for number in asked]))
            sys.exit(0)
(workdir / "summary.json").write_text(json.dumps({"wall_seconds": 3600.0}))
"""
FAKE_SBATCH = """
import json, sys
open("jobs", "a").write(json.dumps(sys.argv[1:]) + "\\n")
if "sa_ra" in str(sys.argv):
    sys.exit("sbatch: error: no such partition")
print(len(open("jobs").readlines()))
"""
TWO = ["table2", "--dataset=cifar10", "--model=resnet8", "--method=baseline", "--method=SA+RA", "--epochs=7"]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "main.py").write_text(FAKE_MAIN)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(checkout):
    log = checkout / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def test_it_trains_every_cell_and_seed_once_with_the_options_given(checkout, capfd):
    assert sweep.main([*TWO, "--seeds=2", "--out=out", "--", "--config.data.dir=a b"]) == 0
    name = "--config=configs/cifar10_{}.py:model=resnet8,{}epochs=7,seed={} --workdir=out/cifar10/resnet8/{}/seed{} {}"
    extra = "--config.data.dir=a b"
    assert started(checkout) == [
        name.format("baseline", "", 0, "baseline", 0, extra),
        name.format("sa", "policy=randaugment,", 0, "sa_ra", 0, extra),
        name.format("baseline", "", 1, "baseline", 1, extra),
        name.format("sa", "policy=randaugment,", 1, "sa_ra", 1, extra),
    ]
    out = capfd.readouterr().out
    assert "[2/4] cifar10/resnet8/sa_ra/seed0, about 3 h 00 min left" in out  # three left, an hour each
    assert "training" in out
    assert out.endswith("4 of 4 are finished.\n")
    assert sweep.main([*TWO, "--seeds=3", "--out=out"]) == 0  # a third seed: the first two are there
    assert [line.split("seed=")[1][0] for line in started(checkout)] == ["2", "2"]
    assert "6 runs, 4 finished, 2 to do." in capfd.readouterr().out


def test_tables_share_their_runs(checkout):
    assert sweep.main(["table2", "--dataset=cifar100", "--model=resnet18", "--method=SA", "--seeds=1"]) == 0
    assert len(started(checkout)) == 1
    assert sweep.main(["table1", "--method=Soft Augmentation", "--seeds=1"]) == 0
    assert sweep.main(["extras", "--dataset=cifar100", "--method=SA", "--seeds=1"]) == 0
    assert started(checkout) == []


def test_a_failure_does_not_stop_the_others_and_is_named(checkout, capfd):
    (checkout / "fail").write_text("baseline/seed0")
    assert sweep.main([*TWO, "--seeds=2"]) == 1
    assert len(started(checkout)) == 4
    error = capfd.readouterr().err
    assert "1 of 4 failed: cifar10/resnet8/baseline/seed0 (exit code 1)" in error
    (checkout / "fail").unlink()
    assert sweep.main([*TWO, "--seeds=2"]) == 0
    assert ["baseline/seed0" in line for line in started(checkout)] == [True]


def test_dry_run_prints_commands_that_do_what_the_sweep_does(checkout, capsys):
    assert sweep.main([*TWO, "--seeds=1", "--dry_run", "--out=a folder"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert started(checkout) == [] and not (checkout / "a folder").exists()
    for line in lines:
        subprocess.run(line, shell=True, check=True)
    by_hand = started(checkout)
    assert sweep.main([*TWO, "--seeds=1", "--dry_run", "--out=a folder"]) == 0
    done = capsys.readouterr().out.splitlines()
    assert done == [f"# finished: a folder/cifar10/resnet8/{slug}/seed0" for slug in ("baseline", "sa_ra")]
    assert sweep.main([*TWO, "--seeds=1", "--out=other"]) == 0
    assert started(checkout) == [line.replace("a folder", "other") for line in by_hand]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_once_and_ends_the_sweep(checkout, number):
    (checkout / "wait").touch()
    command = [sys.executable, "-m", "softaug_jax.sweep", *TWO]
    # A suite that runs in the background inherits ignored signals, which the sweep would go on ignoring.
    inherited = signal.signal(number, signal.SIG_DFL)
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True, process_group=0
    )
    signal.signal(number, inherited)
    with process:
        for _ in range(6000):
            if (checkout / "waiting").exists():
                break
            time.sleep(0.01)
        os.killpg(process.pid, number)  # as a terminal does: to all of the group
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert json.loads((checkout / "asked").read_text()) == [
        signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
    ]
    assert len(started(checkout)) == 1
    last = out.splitlines()[-1]
    assert last.startswith(
        f"stopped by {number.name}; 0 of 6 are finished. To go on: python -m softaug_jax.sweep table2"
    )
    (checkout / "wait").unlink()
    assert sweep.main([*shlex.split(last.split("softaug_jax.sweep ")[1]), "--seeds=1"]) == 0


def test_a_run_that_was_stopped_by_others_ends_the_sweep_too(checkout, capfd):
    (checkout / "main.py").write_text("import sys; open('log', 'a').write('x\\n')")
    assert sweep.main(TWO) == 1
    assert len(started(checkout)) == 1
    assert "seed0 stopped before its end; 0 of 6 are finished. To go on: " in capfd.readouterr().out


def test_what_failed_before_a_stop_is_named(checkout, capfd):
    (checkout / "main.py").write_text("import sys; sys.exit('baseline' in sys.argv[1])")
    assert sweep.main(TWO) == 1
    said = "seed0 stopped before its end; 0 of 6 are finished, 1 failed: cifar10/resnet8/baseline/seed0 (exit code 1)."
    assert said in capfd.readouterr().out


def test_slurm_gets_one_job_for_each_missing_cell(checkout, monkeypatch, capsys):
    (checkout / "bin").mkdir()
    fake = checkout / "bin" / "sbatch"
    fake.write_text(f"#!{sys.executable}\n{FAKE_SBATCH}")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{checkout / 'bin'}:{os.environ['PATH']}")
    argv = [*TWO, "--seeds=2", "--runner=slurm", "--sbatch=--gres=gpu:1 --comment='two words'"]
    (checkout / "out" / "cifar10" / "resnet8" / "baseline" / "seed0").mkdir(parents=True)
    (checkout / "out" / "cifar10" / "resnet8" / "baseline" / "seed0" / "summary.json").write_text("{}")
    assert sweep.main([*argv, "--out=out"]) == 1
    jobs = [json.loads(line) for line in (checkout / "jobs").read_text().splitlines()]
    assert len(jobs) == 3
    ours = next(job for job in jobs if "sa_ra" not in str(job))
    assert ours[0] == "--parsable"
    assert "--job-name=cifar10-resnet8-baseline-seed1" in ours
    assert "--output=out/cifar10/resnet8/baseline/seed1-%j.log" in ours
    assert (checkout / "out/cifar10/resnet8/sa_ra").is_dir()
    assert "--dependency=singleton" in ours and "--gres=gpu:1" in ours and "--comment=two words" in ours
    printed = capsys.readouterr()
    assert "2  cifar10/resnet8/baseline/seed1\n" in printed.out
    assert "2 of 3 failed: cifar10/resnet8/sa_ra/seed0 (sbatch: error: no such partition)" in printed.err
    (wrapped,) = (word.removeprefix("--wrap=") for word in ours if word.startswith("--wrap="))
    assert started(checkout) == []
    subprocess.run(["sh", "-c", wrapped], check=True)
    assert started(checkout)[0].endswith("--workdir=out/cifar10/resnet8/baseline/seed1")


def test_a_run_of_other_epochs_is_not_taken_for_finished(checkout, capsys):
    assert sweep.main([*TWO, "--seeds=1", "--out=out"]) == 0
    assert len(started(checkout)) == 2
    capsys.readouterr()
    assert sweep.main([*TWO[:-1], "--seeds=1", "--out=out"]) == 2
    assert capsys.readouterr().err == (
        "error: out/cifar10/resnet8/baseline/seed0 holds a run of 7 epochs, not 500. "
        "Choose another folder, as in --out=out-500ep, or --epochs=7.\n"
    )


def test_a_run_with_other_options_is_not_taken_for_finished(checkout, capsys):
    argv = [*TWO, "--seeds=1", "--out=out"]
    assert sweep.main([*argv, "--", "--config.data.dir=here"]) == 0
    assert len(started(checkout)) == 2
    assert sweep.main([*argv, "--", "--config.data.dir=there"]) == 0  # which trains the same
    capsys.readouterr()
    assert sweep.main([*argv, "--", "--config.optimizer.learning_rate=0.01"]) == 2
    assert "(optimizer.learning_rate: 0.1 there, 0.01 now)" in capsys.readouterr().err
    assert started(checkout) == []
    assert started(checkout) == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["tabel1"], "Choose from table1, table2, table3, table4, barlow_twins, extras."),
        (["table1", "--dataset=digits"], "--dataset=digits is not in table1. Choose from cifar100, cifar10."),
        (["table2", "--method=TA"], "--method=TA is not in table2."),
        (["table1", "--seeds=0"], "'0' must be a whole number, at least 1"),
        (["table1", "--seed=1"], "'--seed=1' is not understood"),
        (["table1", "--config.data.dir=x"], "options of main.py come after --"),
        (["table1", "--", "--workdir=x"], "'--workdir=x' after -- can't be set: --out is the sweep's."),
        (["table1", "--", "--mdoe=eval"], "'--mdoe=eval' after -- is not understood: options of main.py are"),
        (["table1", "--", "--heartbeat_timeout", "50"], "'--heartbeat_timeout' after -- is not understood"),
        (["table1", "--", "-config.augment.sigma=1"], "'-config.augment.sigma=1' after -- is not understood"),
        (["table1", "--runner=slurm"], "needs sbatch, which is not on PATH"),
        (["table1", "--sbatch=--gres=gpu:1"], "is for --runner=slurm"),
        (["table2", "--model=resnet9"], "can be trained here: config.model.name = 'resnet9' is unknown. Choose from"),
        ([*TWO, "--", "--config.augment.sigmma=3"], "--config.augment.sigmma=3: the config has no field 'sigmma'"),
        (["table1", "--runner=slurm", "--sbatch='--gres"], "can't be read as options: no closing quotation"),
        ([], "required: table"),
    ],
)
def test_a_wrong_command_is_one_line_and_code_2(checkout, capsys, monkeypatch, argv, said):
    monkeypatch.setenv("PATH", "/nowhere")
    try:
        code = sweep.main(argv)
    except SystemExit as exit_:
        code = exit_.code
    error = capsys.readouterr().err
    assert code == 2 and said in error and len(error.splitlines()) == 1


def test_without_a_checkout_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert sweep.main(["table1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path} is not a checkout of softaug_jax: it has no main.py and no configs/")


def test_it_starts_without_what_trains():
    code = "import sys, softaug_jax.sweep; print(sorted({'flax', 'optax', 'orbax', 'tensorflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_a_network_does_not_offer_is_left_out(checkout, capsys):
    assert sweep.main(["table3", "--dataset=cifar10", "--model=resnet8", "--seeds=1", "--dry_run"]) == 0
    out, err = capsys.readouterr()
    assert "method=sngp" in out and "method=ddu" not in out
    assert "resnet8 has no leaky activations and pooled shortcuts" in err
