"""What a person sees of a run: a bar on a terminal, a line an epoch elsewhere. And how fast it goes."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType
from typing import Any, TextIO

from tqdm import tqdm

from softaug_jax.train.peers import Peers


class Progress:
    """Progress over the images of the whole run."""

    def __init__(self, total_images: int, done_images: int, epochs: int, visible: bool = True):
        self._epochs, self._visible = epochs, visible
        self._bar = tqdm(
            total=total_images,
            initial=done_images,
            unit="img",
            unit_scale=True,
            dynamic_ncols=True,
            smoothing=0.05,
            disable=not (visible and sys.stderr.isatty()),
        )

    def advance(self, images: int) -> None:
        """After a dispatch."""
        self._bar.update(images)

    def running(self, means: dict[str, float]) -> None:
        """Shows the epoch's means so far on the bar."""
        if means and not self._bar.disable:
            error = f"  train error {means['top1_error']:.2%}" if "top1_error" in means else ""
            self._bar.set_postfix_str(f"loss {means['loss']:.4f}{error}", refresh=False)

    def epoch(self, epoch: int, row: dict[str, Any]) -> None:
        """After an epoch, or an evaluation, with its figures."""
        self.say(f"epoch {epoch}/{self._epochs}  {in_words(row)}")

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        if self._visible:
            self._print(line, sys.stdout)

    def warn(self, sentence: str) -> None:
        """Prints on stderr what went wrong and is gone on from."""
        self._print(f"warning: {sentence}.", sys.stderr)

    def _print(self, line: str, file: TextIO) -> None:
        try:
            self._bar.write(line, file=file)
            file.flush()
        except OSError:  # a pipe that nobody reads any more, or a full disk: no reason to lose the training
            pass

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()


_SHOWN = {
    "loss": ("loss", ".4f"),
    "train_top1_error": ("train error", ".2%"),
    "top1_error": ("test error", ".2%"),
    "knn_top1_error": ("nearest-neighbour test error", ".2%"),
    "nll": ("test NLL", ".4f"),
    "ece": ("ECE", ".2%"),
    "examples_per_second": ("images/s", ",.0f"),
}


def in_words(row: dict[str, Any]) -> str:
    """Those figures of a row that people look at first."""
    return "  ".join(f"{name} {row[key]:{form}}" for key, (name, form) in _SHOWN.items() if row.get(key) is not None)


class Stopwatch:
    """Training speed in images per second, from when dispatches are done.

    Left out are evaluations, and the first dispatch of each length, which compiles a program of its own, together with
    those that were still under way beside it.
    """

    def __init__(self) -> None:
        self._lengths: set[int] = set()  # in images, of the dispatches so far
        self._images, self._seconds = 0, 0.0  # of the whole training
        self._epoch_images, self._epoch_seconds = 0, 0.0  # since the last stop
        self._counted, self._started, self._ended = 0, 0.0, 0.0  # of this stretch, which runs if it has a start

    def start(self) -> None:
        """Starts a stretch, with nothing under way."""
        self._close()
        self._started = self._ended = time.perf_counter()

    def is_first(self, images: int) -> bool:
        """Whether a dispatch of so many images was the first; then the stretch ends with what was counted before."""
        if images in self._lengths:
            return False
        self._lengths.add(images)
        self._close()
        return True

    def count(self, images: int) -> None:
        """Counts the images of a dispatch that is done; outside a stretch it does not."""
        if self._started:
            self._counted, self._ended = self._counted + images, time.perf_counter()

    def stop(self) -> float | None:
        """Ends the stretch; returns the rate since the last stop, or None if nothing was counted."""
        self._close()
        images, seconds = self._epoch_images, self._epoch_seconds
        self._epoch_images, self._epoch_seconds = 0, 0.0
        self._images, self._seconds = self._images + images, self._seconds + seconds
        return images / seconds if seconds else None

    @property
    def rate(self) -> float | None:
        """Images per second up to the last stop, or None if nothing was counted."""
        return self._images / self._seconds if self._seconds else None

    def _close(self) -> None:
        self._epoch_images += self._counted
        self._epoch_seconds += self._ended - self._started
        self._counted, self._started, self._ended = 0, 0.0, 0.0


class StopRequest:
    """Turns the first SIGINT or SIGTERM into a wish that the loop looks at; a second one ends the program."""

    def __init__(self, peers: Peers | None = None) -> None:
        """With `peers`, a signal to one process stops all of them, at one step."""
        self.signal: signal.Signals | None = None
        self._peers = peers or Peers()
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def reached(self, step: int) -> bool:
        """Whether to stop now that `step` steps are dispatched; to be asked before every dispatch."""
        return self._peers.stops_at(step, self.signal.name if self.signal else "")

    @property
    def reason(self) -> str:
        """The signal's name, and which process heard it if there are several."""
        return self._peers.stop_reason

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
