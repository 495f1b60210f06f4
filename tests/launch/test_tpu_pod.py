"""launch/tpu_pod.sh: what it would run, what it does when a step fails, what it refuses; no slice is there."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.launch.scripts import SLICE, TRAIN, path_with, run


@pytest.mark.parametrize("step", ["all", "resume"])
def test_tpu_commands_are_those_that_were_reviewed(step):
    done = run("tpu_pod.sh", step, *SLICE, "--type=v4-8", "--spot", "--data=gs://my-runs/data", "--dry_run", *TRAIN)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (Path(__file__).parent / f"tpu_pod_{step}.txt").read_text()


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_slice_is_deleted_only_when_the_training_is_finished(tmp_path, is_finished):
    finds = 0 if is_finished else 1
    answer = f'case "$*" in *describe*) echo ACTIVE ;; "storage ls"*) exit {finds} ;; esac'
    path = path_with(tmp_path, gcloud=f'echo "$*" >> {tmp_path}/said\n{answer}', git="")
    done = run("tpu_pod.sh", "all", *SLICE, "--type=v4-8", *TRAIN, PATH=path)
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
