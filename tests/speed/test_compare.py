"""The comparison runs both sides as processes, alternates them, and fails where they do not train alike."""

import argparse
import copy
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import compare, gpu_session, machine, our_run, roofline, rounds, step_profile, throughput, training
from benchmarks.gpu_session import Part
from softaug_jax.checks import UsageError
from softaug_jax.cli import config_of


class Told(compare.Programs):
    """Programs that give back what a test says."""

    def __init__(self, rates, losses):
        self.rates, self.losses, self.order = {name: iter(values) for name, values in rates.items()}, losses, []

    def speed(self, name):
        self.order.append(name)
        rate = next(self.rates[name])
        if rate is None:
            raise UsageError(f"{name} failed: out of memory")
        return {"images_per_second": {"median": rate}, "load": 0.5, "device": "cpu"}

    def curves(self, name):
        if self.losses[name] is None:
            raise UsageError(f"{name} failed: no torch")
        return {"train_loss": self.losses[name], "test_top1_error": [0.1, 0.2], "device": "cpu"}


def options(**changes):
    return argparse.Namespace(**{"peers": ["gpu"], "epochs": 1, "seeds": [0, 1], "rounds": 2, **changes})


def test_ratios_are_of_the_same_round_and_sides_alternate():
    told = Told({"ours": [10.0, 30.0], "gpu": [5.0, 10.0]}, {"ours": [[1.0], [1.1]], "gpu": [[1.0], [1.1]]})
    saved = []
    record = compare.measured(options(), told, [], lambda record: saved.append(copy.deepcopy(record)))
    parts = [(len(each["curves"]), "agreement" in each, "ours_to" in each) for each in saved]
    assert parts == [(1, False, False), (2, False, False), (2, True, False), (2, True, True), (2, True, True)]
    assert saved[3]["ours_to"]["gpu"]["rounds"] == [2.0]
    assert told.order == ["ours", "gpu", "gpu", "ours"]
    assert record["ours_to"]["gpu"]["rounds"] == [2.0, 3.0]
    assert record["agreement"]["agree"]
    assert "ours is 2.50 x as fast (2.00 to 3.00)" in compare.table(record)


def test_the_exit_code_says_whether_they_train_alike(monkeypatch, capsys):
    for peer, code in (([[1.0], [1.1]], 0), ([[9.0], [9.1]], 1)):
        told = Told({}, {"ours": [[1.0], [1.1]], "gpu": peer})
        monkeypatch.setattr(compare, "Programs", lambda *_: told)  # noqa: B023
        assert compare.main(["--peers=gpu", "--seeds=0,1", "--rounds=0", "--epochs=1"]) == code
        assert ("DIFFERENT" in capsys.readouterr().out) == bool(code)


def test_a_peer_that_fails_is_named_and_the_others_go_on(monkeypatch, capsys, tmp_path):
    alike = [[1.0], [1.1]]
    rates = {"ours": [10.0, 30.0], "gpu": [5.0, 10.0], "gpu_graphs": [4.0, None]}
    told = Told(rates, {"ours": alike, "gpu": alike, "gpu_graphs": alike, "dataloader": None})
    monkeypatch.setattr(compare, "Programs", lambda *_: told)
    out = tmp_path / "record.json"
    words = ["--peers=dataloader,gpu,gpu_graphs", "--seeds=0,1", "--rounds=2", "--epochs=1", f"--json={out}"]
    assert compare.main(words) == 1
    record = json.loads(out.read_text())
    assert record["failed"] == {
        "dataloader": "dataloader failed: no torch",
        "gpu_graphs": "gpu_graphs failed: out of memory",
    }
    assert set(record["agreement"]["peers"]) == {"gpu", "gpu_graphs"} and "dataloader" not in told.order
    ratios = {name: ratio["rounds"] for name, ratio in record["ours_to"].items()}
    assert ratios == {"gpu": [2.0, 3.0], "gpu_graphs": [2.5]}
    assert "dataloader FAILED: dataloader failed: no torch" in capsys.readouterr().out


def test_graphs_are_asked_for_on_a_gpu_only(monkeypatch):
    asked = []

    def measured(options, *_):
        asked.append(options.peers)
        return {"device": "", "load": 0, "commit": "", "failed": {}}

    monkeypatch.setattr(compare, "measured", measured)
    for gpu in (False, True):
        monkeypatch.setattr(compare.machine, "has_gpu", lambda: gpu)  # noqa: B023
        compare.main(["--config=configs/cifar10_sa.py"])
        compare.main(["--config=configs/cifar10_sa.py", "--peer_option=--device=cpu"])
    usual = ["dataloader", "gpu"]
    assert asked == [usual, usual, [*usual, "gpu_graphs"], usual]


def test_one_seed_has_no_spread(capsys):
    assert compare.main(["--seeds=0", "--config=configs/digits_sa.py"]) == 2
    assert "at least two seeds" in capsys.readouterr().err


def test_a_real_comparison_runs_from_end_to_end(tmp_path, capsys):
    pytest.importorskip("torch")
    out = tmp_path / "compare.json"
    words = ["--config=configs/digits_sa.py:model=resnet8", "--config.batch_size=256", "--peers=gpu"]
    few = ["--epochs=1", "--seeds=0,1", "--rounds=0", f"--json={out}"]
    code = compare.main([*words, *few, "--peer_option=--device=cpu"])
    record = json.loads(out.read_text())
    assert code == int(not record["agreement"]["agree"])
    assert np.shape(record["curves"]["ours"]["train_loss"]) == np.shape(record["curves"]["gpu"]["train_loss"]) == (2, 1)
    assert "last loss" in capsys.readouterr().out


def test_our_side_counts_the_images_of_whole_laps(tmp_path, monkeypatch, capsys):
    now, real = [0.0], training.Training.lap

    def two_seconds(run):
        now[0] += 2.0
        return real(run)

    monkeypatch.setattr(training.Training, "lap", two_seconds)
    monkeypatch.setattr(rounds, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    out = tmp_path / "ours.json"
    words = ["--config=configs/digits_sa.py:model=resnet8", "--config.batch_size=16", "--speed", "--steps=1"]
    assert our_run.main([*words, "--rounds=2", f"--json={out}"]) == 0
    rates = json.loads(out.read_text())["images_per_second"]
    assert rates["rounds"] == [8.0, 8.0]  # a step of 16 images each
    assert str(rates["median"]) in capsys.readouterr().out


def test_a_session_goes_on_after_a_part_that_fails_or_hangs(tmp_path, monkeypatch, capsys):
    members = {"time_to_one": {"vmap": {"median": 1.5}}, "name": "n", "members": 3}
    record = json.dumps({"device": "cpu", "load": 0, "commit": "c", **members})
    (tmp_path / "throughput.py").write_text(
        f"import sys, pathlib\npathlib.Path(sys.argv[-1].partition('=')[2]).write_text({record!r})\n"
    )
    (tmp_path / "failing.py").write_text("import sys\nsys.exit('no such thing')\n")
    (tmp_path / "hanging.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(gpu_session.machine, "python", lambda module, *words: [
        gpu_session.sys.executable, str(tmp_path / f"{module.removeprefix('benchmarks.')}.py"), *words
    ])  # fmt: skip
    parts = {"failing": Part("failing", (), 60), "hanging": Part("hanging", (), 1), "fine": Part("throughput", (), 60)}
    monkeypatch.setattr(gpu_session, "parts", lambda *_: parts)
    out = tmp_path / "out"
    assert gpu_session.main([f"--out={out}", "--parts=failing,hanging,fine"]) == 1
    session = json.loads((out / "session.json").read_text())["parts"]
    assert "exit code 1: no such thing" in session["failing"]["failed"]
    assert "took more than 1 s" in session["hanging"]["failed"]
    assert session["fine"]["failed"] == ""
    shown = capsys.readouterr().out
    assert shown.rstrip().endswith("vmap           1.50") and "no such thing" in shown
    assert gpu_session.main([f"--out={out}", "--parts=fine"]) == 0
    assert gpu_session.main([f"--out={out}", "--parts=fine", "--minutes=0"]) == 1


@pytest.mark.skipif(not machine.WITH_PARENT, reason="needs Linux and its setpriv")
def test_a_child_does_not_outlive_who_started_it_even_if_killed():
    child = "import time; print('began', flush=True); time.sleep(20); print('survived')"
    command = [*machine.WITH_PARENT, sys.executable, "-S", "-c", child]
    parent = subprocess.Popen(
        [sys.executable, "-S", "-c", f"import subprocess; subprocess.run({command!r})"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with parent:
        assert parent.stdout.readline() == "began\n"
        parent.kill()
        assert parent.stdout.read() == ""
    assert machine.python("benchmarks.compare", "--rounds=0")[-4:] == [
        sys.executable, "-m", "benchmarks.compare", "--rounds=0"
    ]  # fmt: skip


def test_every_part_is_a_command_that_can_be_parsed(tmp_path):
    known = gpu_session.parts("data", str(tmp_path), toy=False)
    assert set(gpu_session.DEFAULT) < set(known) and len(gpu_session.DEFAULT) < 8
    toys = gpu_session.parts("data", str(tmp_path), toy=True)
    assert known.keys() == toys.keys()
    parsers = {
        "compare": compare._parser().parse_known_args,  # what is left is the config's
        "roofline": roofline._parser().parse_args,
        "step_profile": step_profile._parser().parse_with_extra,
        "throughput": throughput._parser().parse_with_extra,
    }
    for part in [*known.values(), *toys.values()]:
        parsed = parsers[part.module]((*part.words, "--json=FILE"))
        if part.module == "compare":
            config_of(parsed[1])
            assert set(parsed[0].seeds) >= {0, 1}
    assert sum(known[name].limit_s for name in gpu_session.DEFAULT[:3]) <= 9 * 60
