"""The protocol between processes, played by threads on a store that is a dictionary."""

import threading
import time
from unittest import mock

import numpy as np
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.train import loop
from softaug_jax.train import peers as peers_file
from softaug_jax.train.peers import Peers
from softaug_jax.train.store import Store
from softaug_jax.train.training import NonFiniteLoss, Training


class Client:
    """The key-value store's four calls that are used."""

    def __init__(self):
        self.texts, self.changed = {}, threading.Condition()

    def key_value_set(self, key, value, allow_overwrite=False):
        with self.changed:
            assert allow_overwrite or key not in self.texts
            self.texts[key] = value
            self.changed.notify_all()

    def key_value_dir_get(self, folder):
        with self.changed:
            return [item for item in self.texts.items() if item[0].startswith(folder)]

    def blocking_key_value_get(self, key, timeout_in_ms):
        with self.changed:
            if not self.changed.wait_for(lambda: key in self.texts, timeout_in_ms / 1000):
                raise RuntimeError("DEADLINE_EXCEEDED: too late")
            return self.texts[key]


def together(count, work, patience_seconds=10.0):
    """Runs work(store) as `count` processes would; what each returned or raised."""
    client, results = Client(), [None] * count

    def one(index):
        try:
            results[index] = work(Store(client, index, count, patience_seconds))
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_those_who_agree_go_on():
    assert together(3, lambda store: store.agree({"seed": 1, "sizes": [1, 2]})) == [None] * 3


def test_each_is_told_who_differs_and_in_what():
    def work(store):
        store.agree({"same": 0})
        store.agree({"seed": store.index % 2, "data": {"n": 5}, **({"extra": 1} if store.index == 2 else {})})

    results = together(4, work)
    assert all(isinstance(error, UsageError) for error in results)
    (text,) = {str(error) for error in results}
    assert "process 1" in text and "process 2" in text and "process 3" in text
    assert text.count("seed is 1, not 0") == 2
    assert "extra is 1, not missing" in text
    assert "data" not in text.replace("one data set", "")


def test_who_does_not_come_is_named_in_time():
    results = together(2, lambda store: store.agree({}) if store.index == 0 else None, patience_seconds=0.1)
    assert "process 1 is not as far as the others after 0.1 s" in str(results[0])


def test_all_hear_what_the_first_says():
    assert together(3, lambda store: [store.first_says(f"{store.index}{n}") for n in range(2)]) == [["00", "01"]] * 3


def test_each_hears_what_each_gives():
    assert (
        together(3, lambda store: [store.exchange(f"{store.index}{n}") for n in range(2)])
        == [[["00", "10", "20"], ["01", "11", "21"]]] * 3
    )
    assert Peers().exchange("alone") == ["alone"]


@pytest.mark.parametrize(
    ("error", "order"),
    [
        (UsageError("no room"), ["told", "closed"]),
        (OSError(5, "Input/output error"), ["told", "closed"]),
        (KeyboardInterrupt(), ["told", "closed"]),
        (NonFiniteLoss("NaN"), ["closed"]),  # which all see in the same step
    ],
)
def test_others_hear_of_an_error_before_the_save_under_way_is_waited_for(monkeypatch, error, order):
    seen = []
    training = object.__new__(Training)
    training.peers, training.progress, training.log = mock.Mock(is_first=False), mock.Mock(), mock.Mock()
    training.step, training.schedule, training.headline = 0, mock.Mock(total_steps=9), str
    training.train_epoch = mock.Mock(side_effect=error)
    training.checkpoints = mock.Mock(close=lambda: seen.append("closed"))
    monkeypatch.setattr(loop.distributed, "leave", lambda told: seen.append("told"))
    with pytest.raises(type(error)):
        training.run()
    assert seen == order


def test_the_error_of_a_last_save_has_the_reason_of_each_process(tmp_path):
    full, waited = (
        "checkpoints/9 was not saved (No space left on device)",
        "checkpoints/9 was not saved (another's part)",
    )
    training = object.__new__(Training)
    training.save, training.folder = mock.Mock(), mock.Mock(path=tmp_path)
    training.checkpoints = mock.Mock(problems=lambda: ["an earlier one", waited], latest_step=lambda: 5)
    training.peers = mock.Mock(exchange=lambda own: [full, own, own, ""])
    with pytest.raises(UsageError) as caught:
        training.save_now()
    assert str(caught.value).startswith(f"{full}; {waited}, in {tmp_path}.") and "from step 5" in str(caught.value)


def test_a_process_that_ends_says_so_once(monkeypatch, capsys):
    """What its other threads see meanwhile is of its end, and of the others'."""
    ended = threading.Event()
    monkeypatch.setattr(peers_file, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(peers_file.os, "_exit", lambda code: ended.set() or threading.Event().wait())
    peers = Peers(Store(client := Client(), 0, 2))
    for reason in ("the first reason", "a connection broke"):
        threading.Thread(target=peers.fail, args=(reason, 2), daemon=True).start()
        while not client.key_value_dir_get("softaug_jax/news/failed/"):
            time.sleep(0.001)
    assert ended.wait(10)
    assert capsys.readouterr().err == "error: the first reason\n"
    assert "the first reason" in client.texts["softaug_jax/news/failed/0"]


@pytest.mark.parametrize("trial", range(6))
def test_all_stop_at_one_boundary_whoever_wishes_and_whenever(monkeypatch, trial):
    monkeypatch.setattr(peers_file, "POLL_SECONDS", 0.002)
    rng = np.random.default_rng(trial)
    boundaries = np.cumsum(rng.integers(1, 5, size=5000))  # dispatches of several steps
    seeds, wishers = rng.integers(1 << 30, size=4), set(rng.integers(0, 4, size=1 + trial % 2).tolist())
    at = rng.integers(0, 40)

    def work(store):
        pace, peers = np.random.default_rng(seeds[store.index]), Peers(store)
        for number, step in enumerate(boundaries.tolist()):
            time.sleep(pace.uniform(0, 0.003))  # no process waits for another, as devices would make it
            if peers.stops_at(step, "SIGTERM" if number >= at and store.index in wishers else ""):
                assert peers.stops_at(step), "the answer for a step stays"
                break
        reason = peers.stop_reason
        peers.close()
        return step, reason

    steps = together(4, work)
    assert len(set(steps)) == 1, steps
    assert boundaries[at] <= steps[0][0] < boundaries[-1]
    assert steps[0][1].startswith(tuple(f"SIGTERM on process {i}" for i in wishers))


def test_alone_one_stops_at_once():
    peers = Peers()
    assert not peers.stops_at(3)
    assert peers.stops_at(4, "SIGINT")
    assert peers.stop_reason == "SIGINT"
