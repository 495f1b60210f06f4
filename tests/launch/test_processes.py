"""launch/local.sh and container.sh: what they start, their exit codes, and who hears of a signal."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.launch.scripts import ROOT, path_with, run


def python_that(folder: Path, body: str) -> str:
    """A program in place of Python."""
    path_with(folder, python=body)
    return str(folder / "python")


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
