"""Two processes, of which one alone can't write or read a checkpoint: none waits for ever, and all say why."""

import json

from tests.train.pods import finish, workers


def test_what_goes_wrong_for_one_process_holds_up_none(tmp_path):
    with workers("tests.train.checkpoint_worker", tmp_path) as processes:
        (code, out, err), (other_code, other_out, other_err) = finish(processes, seconds=120)
    seen, other = (json.loads(text[text.index("{") : text.index("}") + 1]) for text in (out, other_out))
    too_large = "was not saved (File too large)"
    assert seen["both fail"] == other["both fail"] == [f"checkpoints/2 {too_large}"]
    assert seen["one fails"] == [f"checkpoints/3 {too_large}"]
    assert other["one fails"] == [
        "checkpoints/3 was not saved (another process had not written its part after 2 s; it says why)"
    ]
    assert seen["none fails"] == other["none fails"] == []
    assert seen["restored"] == other["restored"] == 1
    warning = "warning: checkpoints/4 is damaged (Stale file handle, on process 1): went back to step 1."
    assert warning in err and "damaged" not in other_err
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"1", "4.damaged"}
    assert (code, other_code) == (2, 2), err + other_err
    assert err.splitlines()[-1] == other_err.splitlines()[-1], "the one line that all end with"
    assert f"can't read a checkpoint in {tmp_path}/checkpoints: one memory is bad." in err.splitlines()[-1]
