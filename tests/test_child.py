"""A program within a limit of time."""

import sys

from softaug_jax.child import Child


def test_a_child_whose_time_is_up_gets_sigterm_once_and_is_waited_for(tmp_path):
    code = """
import pathlib, signal, sys, time
asked = []
signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
pathlib.Path(sys.argv[1]).touch()
while not asked:
    time.sleep(0.01)
time.sleep(0.2)
pathlib.Path(sys.argv[1]).write_text(str(len(asked)))
"""
    with Child() as child:
        assert child.run([sys.executable, "-S", "-c", code, str(tmp_path / "asked")], 2.0) == 0
        assert child.timed_out and child.signal is None
        assert (tmp_path / "asked").read_text() == "1"
        assert child.run([sys.executable, "-c", ""], 60.0) == 0 and not child.timed_out
