"""The scripts that start runs elsewhere: what they would run, what they refuse, and that a linter finds nothing."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in (ROOT / "launch").iterdir() if path.suffix in (".sh", ".sbatch"))
SLICE = ["--name=sa", "--zone=us-central2-b"]
TRAIN = [
    "--",
    "--config=configs/cifar100_sa.py:policy=randaugment",
    "--config.data.dir=a b",
    "--workdir=gs://my-runs/sa",
]


def run(name: str, *args: str, **environment: str) -> subprocess.CompletedProcess:
    env = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")} | environment
    return subprocess.run([ROOT / "launch" / name, *args], capture_output=True, text=True, env=env, cwd=ROOT)


def path_with(folder: Path, **programs: str) -> str:
    """A PATH on which these programs, each a few lines of shell, come first."""
    for name, body in programs.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_open_with_what_they_do_and_need(path):
    lines = path.read_text().splitlines()
    head = lines[: next(number for number, line in enumerate(lines) if number and not line.startswith("#"))]
    assert head[0] == "#!/usr/bin/env bash"
    assert any("Needs" in line for line in head)
    assert any(line.startswith("#   ") and path.name in line for line in head), "the line that uses it"
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", path]).returncode == 0


def test_shellcheck_finds_nothing():
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed; the dev extra brings it")
    done = subprocess.run([shellcheck, *SCRIPTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("step", ["all", "resume"])
def test_tpu_commands_are_those_that_were_reviewed(step):
    done = run("tpu_pod.sh", step, *SLICE, "--type=v4-8", "--spot", "--data=gs://my-runs/data", "--dry_run", *TRAIN)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (Path(__file__).parent / f"tpu_pod_{step}.txt").read_text()


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_slice_is_deleted_only_when_the_training_is_finished(tmp_path, is_finished):
    finds = 0 if is_finished else 1
    for name in ("gcloud", "git"):
        said = f'echo "$*" >> {tmp_path}/said'
        answer = f'case "$*" in *describe*) echo ACTIVE ;; "storage ls"*) exit {finds} ;; esac'
        (tmp_path / name).write_text(f"#!/bin/sh\n{said}\n{answer}\n")
        (tmp_path / name).chmod(0o755)
    done = run("tpu_pod.sh", "all", *SLICE, "--type=v4-8", *TRAIN, PATH=f"{tmp_path}:{os.environ['PATH']}")
    said = (tmp_path / "said").read_text()
    assert "main.py" in said and ("queued-resources delete" in said) == is_finished
    assert done.returncode == (0 if is_finished else 2)
    assert is_finished or "stopped before its end, and sa still runs. Go on with resume, or delete it." in done.stderr


def test_options_reach_the_host_as_they_were_given():
    done = run("tpu_pod.sh", "run", *SLICE, "--dry_run", *TRAIN)
    (command,) = [word for word in shlex.split(done.stdout) if word.startswith("--command=")]
    assert shlex.split(command)[-3:] == TRAIN[1:]  # what the host's shell makes of it


@pytest.mark.parametrize("word", ["it's", "''", "a\nb", '$x `y` "z" \\ & *', ""])
def test_a_word_reaches_the_host_whatever_is_in_it(word):
    done = run("tpu_pod.sh", "run", *SLICE, "--dry_run", *TRAIN, word)
    (command,) = [each for each in shlex.split(done.stdout) if each.startswith("--command=")]
    assert shlex.split(command)[-1] == word


@pytest.mark.parametrize("name", ["tpu_pod.sh", "workdir_of.sh", "local.sh"])
def test_what_runs_on_the_users_machine_knows_no_bash_after_3_2(name):  # macOS has no later one
    text = (ROOT / "launch" / name).read_text()
    later = r"@[QEPAa]\}|\[\*\]\}|\^\^?\}|,,?\}|mapfile|readarray|declare -[gnA]|local -n|\|&|&>>|wait -n|\[-1\]"
    assert not re.search(later, text)


GCLOUD = """
case "$*" in
*describe*) step=describe ;; *"resources create"*) step=create ;; *"resources delete"*) step=delete ;;
*" scp "*) step=copy ;; *tpu_host.sh*) step=install ;; *main.py*) step=run ;; "storage ls"*) step=look ;;
esac
echo $step >>{folder}/steps
n=$(grep -c "^$step$" {folder}/steps)
missing() {{ echo "ERROR: (gcloud...describe) NOT_FOUND: Resource 'sa' was not found" >&2; exit 1; }}
away() {{ echo "ERROR: (gcloud...describe) UNAVAILABLE: the service is away" >&2; exit 1; }}
case $step-$n in {cases} describe-*) echo ACTIVE ;; esac
"""


def tpu_pod(folder: Path, step: str, cases: str, *args: str) -> tuple[subprocess.CompletedProcess, str]:
    """Runs a step with a gcloud that does what `cases` say of STEP-NUMBER, else well; and says what it was asked."""
    path = path_with(folder, gcloud=GCLOUD.format(folder=folder, cases=cases), git="", sleep="")
    done = run("tpu_pod.sh", step, *SLICE, "--type=v4-8", *args, PATH=path)
    return done, " ".join((folder / "steps").read_text().split())


WHOLE = "copy install run look"


@pytest.mark.parametrize(
    ("cases", "steps"),
    [
        ("", f"describe describe {WHOLE}"),
        ("describe-1) missing ;;", f"describe create describe {WHOLE}"),
        ("describe-1) echo SUSPENDED ;;", f"describe delete create describe {WHOLE}"),
        ("describe-1) away ;;", f"describe describe describe {WHOLE}"),
        ("describe-[12]) echo WAITING_FOR_RESOURCES ;;", f"describe describe describe {WHOLE}"),
        ("describe-1) missing ;; copy-1) exit 255 ;;", f"describe create describe copy describe describe {WHOLE}"),
        ("install-1) exit 255 ;;", f"describe describe copy install describe describe {WHOLE}"),
        ("create-1) exit 1 ;; describe-[12]) missing ;;", f"describe create describe create describe {WHOLE}"),
        (
            "describe-1) missing ;; describe-[23]) echo SUSPENDED ;;",
            f"describe create describe describe delete create describe {WHOLE}",
        ),
        ("run-1) exit 1 ;;", f"describe describe copy install run describe describe {WHOLE}"),
        ("look-1) exit 1 ;;", f"describe describe {WHOLE} describe describe {WHOLE}"),
    ],
)
def test_resume_goes_on_whatever_failed(tmp_path, cases, steps):
    done, asked = tpu_pod(tmp_path, "resume", cases, "--tries=2", *TRAIN)
    assert (done.returncode, asked) == (0, steps), done.stderr


def test_resume_ends_after_its_tries(tmp_path):
    done, asked = tpu_pod(tmp_path, "resume", "copy-*) exit 255 ;;", "--tries=3", *TRAIN)
    assert (done.returncode, asked.count("copy"), asked.count("run")) == (2, 3, 0)
    assert "not finished after try 1 of 3\n" in done.stderr
    assert "gs://my-runs/sa is not finished after 3 tries. If sa still runs, it costs" in done.stderr


def test_create_says_what_it_waits_for(tmp_path):
    done, _ = tpu_pod(tmp_path, "create", "describe-[123]) echo WAITING_FOR_RESOURCES ;;")
    assert (done.returncode, done.stderr) == (0, "sa: WAITING_FOR_RESOURCES\nsa: ACTIVE\n")


def test_create_gives_up_when_gcloud_fails_again_and_again(tmp_path):
    done, asked = tpu_pod(tmp_path, "create", "describe-? | describe-1?) away ;;")
    assert (done.returncode, asked) == (2, "create" + 5 * " describe")
    assert done.stderr.count("the service is away") == 5
    assert "error: the state of sa can't be told: gcloud failed 5 times in a row." in done.stderr


@pytest.mark.parametrize("workdir", ["gs://my-runs/sa/", "gs://my-runs//sa//"])
def test_the_summary_is_looked_for_where_python_writes_it(workdir):
    done = run("tpu_pod.sh", "resume", *SLICE, "--type=v4-8", "--dry_run", "--", f"--workdir={workdir}")
    assert done.stdout.splitlines()[-1] == "gcloud storage ls gs://my-runs/sa/summary.json"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "say what to do first"),
        (["make"], "say what to do first"),
        (["create", "--zone=z", "--type=t"], "--name=sa"),
        (["delete", "--name=n"], "--zone="),
        (["all", *SLICE, *TRAIN], "--type=v4-8"),
        (["run", *SLICE], "--workdir"),
        (["all", *SLICE, "--type=t", *TRAIN[:-1], "--workdir=runs/sa"], "--workdir=runs/sa would be deleted with the"),
        (["resume", *SLICE, "--type=t", "--tries=x", *TRAIN], "--tries=x must be a whole number"),
        (["create", *SLICE, "--type=v4-8", "--data=data"], "--data=gs://BUCKET/imagenet"),
        (["run", *SLICE, "--config=x"], "--config=x is not understood"),
    ],
)
def test_tpu_script_says_what_is_missing(args, words):
    done = run("tpu_pod.sh", *args, "--dry_run") if "--" not in args else run("tpu_pod.sh", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and words in done.stderr


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("local.sh", ["--config=configs/digits_sa.py"], "how many processes first"),
        ("slurm.sbatch", ["--config=configs/digits_sa.py"], "name a workdir"),
        ("container.sh", ["--config=configs/digits_sa.py"], "name a workdir"),
        ("sweep.sbatch", ["table1"], "--array=0-N"),
        ("finished.sh", [], "name a workdir"),
        ("workdir_of.sh", ["--config=configs/digits_sa.py", "--workdir="], "name a workdir"),
    ],
)
def test_other_scripts_say_what_is_missing(name, args, words):
    done = run(name, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and words in done.stderr


EVALUATIONS = [
    ["--config=configs/digits_sa.py", "--mode=eval"],
    ["--config=configs/digits_sa.py", "--mode", "eval"],
    ["--config=configs/occlusion.py", "--config.runs=runs/a,runs/b"],
    ["--config=configs/calibration.py:runs=runs/a"],
    ["--config", "configs/occlusion.py:weights=a.npz,model=resnet50"],
    ["--config=my_tests.py", "--config.runs=runs"],
]


@pytest.mark.parametrize("options", EVALUATIONS, ids=" ".join)
@pytest.mark.parametrize("script", ["slurm.sbatch", "container.sh", "tpu_pod.sh all", "tpu_pod.sh resume"])
def test_what_is_no_training_is_not_started_again_for_ever(tmp_path, script, options):
    started = "echo started"
    path = path_with(tmp_path, srun=started, scontrol=started, python=started, gcloud="echo ACTIVE", git="", sleep="")
    name, *step = script.split()
    before = [*step, *SLICE, "--type=v4-8", "--tries=1", "--"] if step else []
    done = run(name, *before, *options, "--workdir=gs://my-runs/sa", PATH=path, PYTHON="python", SLURM_JOB_ID="12")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "is no training" in done.stderr and "python main.py" in done.stderr


@pytest.mark.parametrize("config", ["configs/cifar100_sa.py", "configs/less_occlusion.py", "a.py:of=occlusion.py"])
def test_a_training_is_known_for_one(config):
    done = run("workdir_of.sh", f"--config={config}", "--mode=train", "--workdir=runs/a", "--workdir=runs/eval b")
    assert (done.returncode, done.stdout, done.stderr) == (0, "runs/eval b\n", "")


def python_that(folder: Path, body: str) -> str:
    """A program in place of Python."""
    path = folder / "python"
    path.write_text(f"#!/usr/bin/env bash\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("body", "code"),
    [("exit 0", 75), ("touch {}/summary.json", 0), ("exit 3", 3), ("touch {}/summary.json; exit 1", 1)],
)
def test_a_container_that_stops_early_does_not_end_well(tmp_path, body, code):
    python = python_that(tmp_path, body.format(tmp_path))
    assert run("container.sh", f"--workdir={tmp_path}", PYTHON=python).returncode == code


def test_a_container_passes_its_signal_on_and_waits(tmp_path):
    python = python_that(
        tmp_path, f'trap "sleep 0.3; echo saved; exit 0" TERM; touch {tmp_path}/up; while true; do sleep 0.05; done'
    )
    command = [ROOT / "launch" / "container.sh", f"--workdir={tmp_path}"]
    with subprocess.Popen(command, env={**os.environ, "PYTHON": python}, stdout=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "up").exists():
            assert process.poll() is None
        process.terminate()
        assert process.communicate()[0] == "saved\n"
    assert process.returncode == 75


def test_local_starts_so_many_and_ends_with_the_first_failure(tmp_path):
    python = python_that(
        tmp_path, '[[ $1 == -c ]] && echo 1234 && exit; echo "$@"; [[ $* != *process_id=1* ]] || exit 7'
    )
    done = run("local.sh", "3", "--config=x", PYTHON=python)
    assert done.returncode == 7
    started = sorted(done.stdout.splitlines())
    assert started == [
        f"main.py --coordinator=localhost:1234 --num_processes=3 --process_id={i} --config=x" for i in range(3)
    ]


CHILD = f"""#!{sys.executable}
import os, pathlib, signal, sys, time
if sys.argv[1] == "-c":
    sys.exit(print(1234))
heard = []
for number in (signal.SIGINT, signal.SIGTERM)[0 if "--listens" in sys.argv else 1 :]:
    signal.signal(number, lambda number, frame: heard.append(signal.Signals(number).name))
pathlib.Path(__file__).with_name(sys.argv[4]).touch()
end = time.monotonic() + 10
while not heard and time.monotonic() < end:
    time.sleep(0.02)
time.sleep(0.3)  # for a second signal
os.write(1, " ".join([*heard, ""]).encode())
"""


# Runs a command with the signals as at a terminal, whatever runs the tests: nohup and a shell's & have them ignored.
AT_A_TERMINAL = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("option", ["--listens", "--starts"])  # a start ignores SIGINT if its shell made it so
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_local_process_hears_of_a_signal_once(tmp_path, option, number):
    python = tmp_path / "python"
    python.write_text(CHILD)
    python.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, ROOT / "launch" / "local.sh", "2", option],
        env={**os.environ, "PYTHON": str(python)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while len(list(tmp_path.glob("--process_id=*"))) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, number)  # what a terminal does
        assert process.communicate()[0] == "SIGTERM SIGTERM "
    assert process.returncode == 0


SRUN = '#!/usr/bin/env bash\nshift\nexec "$@"\n'


def test_a_job_is_requeued_when_it_ended_well_but_unfinished(tmp_path):
    for name, text in {"srun": SRUN, "scontrol": '#!/usr/bin/env bash\necho scontrol "$@"\n'}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "12", "PYTHON": "true"}
    assert run("slurm.sbatch", f"--workdir={tmp_path}", **environment).stdout == "scontrol requeue 12\n"
    (tmp_path / "summary.json").write_text("{}")
    assert run("slurm.sbatch", f"--workdir={tmp_path}", **environment).stdout == ""
    failed = run("slurm.sbatch", f"--workdir={tmp_path}/other", **environment | {"PYTHON": "false"})
    assert (failed.returncode, failed.stdout) == (1, "")


@pytest.mark.parametrize(
    ("variables", "devices"),
    [
        ({"SLURM_TASKS_PER_NODE": "1(x2)"}, "0,1,2,3"),
        ({"SLURM_TASKS_PER_NODE": "64(x2)"}, "0,1,2,3"),  # CPUs: nothing was said of tasks
        ({"SLURM_NTASKS_PER_NODE": "1", "SLURM_NTASKS": "2", "SLURM_TASKS_PER_NODE": "1(x2)"}, "0,1,2,3"),
        ({"SLURM_NTASKS_PER_NODE": "1", "SLURM_TASKS_PER_NODE": "1(x2)"}, "0,1,2,3"),
        ({"SLURM_NTASKS": "2", "SLURM_TASKS_PER_NODE": "1(x2)"}, "0,1,2,3"),
        ({"SLURM_NTASKS_PER_NODE": "4", "SLURM_NTASKS": "8", "SLURM_TASKS_PER_NODE": "4(x2)"}, "unset"),
        ({"SLURM_NTASKS_PER_NODE": "4", "SLURM_TASKS_PER_NODE": "4(x2)"}, "unset"),
        ({"SLURM_NTASKS": "8", "SLURM_TASKS_PER_NODE": "4(x2)"}, "unset"),
    ],
)
def test_one_task_a_node_takes_all_gpus_of_the_node(tmp_path, variables, devices):
    (tmp_path / "summary.json").write_text("{}")
    environment = variables | {"SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "4", "PYTHON": "true"}
    path = path_with(tmp_path, srun="echo ${JAX_LOCAL_DEVICE_IDS:-unset}")
    assert run("slurm.sbatch", f"--workdir={tmp_path}", **environment, PATH=path).stdout == f"{devices}\n"


def test_a_task_of_the_array_trains_the_run_of_its_number(tmp_path):
    (tmp_path / "srun").write_text("#!/usr/bin/env bash\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "scontrol").write_text('#!/usr/bin/env bash\necho scontrol "$@"\n')
    for name in ("srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_ARRAY_JOB_ID": "12",
        "SLURM_ARRAY_TASK_ID": "1",
        "PYTHON": sys.executable,
    }
    table = ["table1", "--method=SA", "--seeds=2", "--model=resnet18", f"--out={tmp_path}/t a"]
    table += ["--dataset=cifar10", "--", "--config.data.dir=a b"]
    done = run("sweep.sbatch", *table, **environment)
    words = done.stdout.splitlines()
    workdir = f"{tmp_path}/t a/cifar10/resnet18/sa/seed1"
    assert words[-3:] == [f"--workdir={workdir}", "--config.data.dir=a b", "scontrol requeue 12_1"]
    assert "seed=1" in words[-4]
    Path(workdir).mkdir(parents=True)
    (Path(workdir) / "summary.json").write_text("{}")
    assert run("sweep.sbatch", *table, **environment).stdout == f"# finished: {workdir}\n"
    beyond = run("sweep.sbatch", *table, **environment | {"SLURM_ARRAY_TASK_ID": "2"})
    assert beyond.returncode == 2
    assert "there is no run 2" in beyond.stderr and "--array=0-1." in beyond.stderr
