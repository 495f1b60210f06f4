"""One training: epochs, evaluations, checkpoints, and what is written when."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from softaug_jax.checks import UsageError
from softaug_jax.preview import write_preview
from softaug_jax.report.run_figures import write_run_figures
from softaug_jax.run_files import write_json
from softaug_jax.train import distributed, feed, optim, setup, sharding, shared
from softaug_jax.train.checkpoint import Checkpoints
from softaug_jax.train.evaluation import Evaluation, Images
from softaug_jax.train.progress import Progress, StopRequest, Stopwatch
from softaug_jax.train.state import base_key
from softaug_jax.train.steps import NO_STEP, READ_BEHIND, StepSums, all_finite
from softaug_jax.train.summary import describe, summarize
from softaug_jax.train.workdir import MetricsLog, NoLog, Workdir


class NonFiniteLoss(RuntimeError):
    """The loss, a gradient or a parameter became NaN or infinite."""


class Training:
    """One run of the program over one workdir."""

    def __init__(self, config: Any, folder: Workdir, train: Images, test: Images, train_digest: dict[str, str]):
        self.config, self.folder, self.peers = config, folder, distributed.peers()
        self.parts = setup.build(config, len(train.labels))
        self.schedule = self.parts.schedule
        self.num_test = len(test.labels)
        shardings = sharding.over()
        self.checkpoints = Checkpoints(folder.path)
        self.evaluation = Evaluation(config, self.parts, test, lambda: train, shardings)
        self.feed = feed.create(config, self.parts.step, self.parts.chain, train, self.schedule, shardings)
        self.peers.agree(checkpoint=self.checkpoints.latest_step())
        if self.checkpoints.latest_step() is None:
            self.state = jax.jit(self.parts.initial_state, out_shardings=shardings.replicated)()
            self.kept: dict[str, Any] = {"wall_seconds": 0.0, "best_top1_error": None}
        else:
            abstract = jax.eval_shape(self.parts.initial_state)
            self.state, self.kept = self.checkpoints.restore(abstract, shardings.replicated)
            shared.check_train(folder, self.kept.get("train"), train_digest)
        self.kept["train"] = train_digest
        self.step = int(self.state.step)
        self.peers.agree(step=self.step)
        self.began = time.perf_counter() - self.kept["wall_seconds"]
        self.watch = Stopwatch()
        self.log: MetricsLog | NoLog = NoLog()  # until it runs
        batch = self.schedule.batch_size
        images = self.schedule.total_steps * batch, self.step * batch
        self.progress = Progress(*images, config.epochs, visible=self.peers.is_first)
        self.learning_rate = optim.learning_rate(config, self.schedule.total_steps)

    def run(self) -> dict[str, Any] | None:
        """Trains to the end and returns the summary, or None if it was asked to stop."""
        warn = self.progress.warn
        if self.peers.is_first:
            self.log = MetricsLog(self.folder, self.step, tell=warn, ended=self.step == self.schedule.total_steps)
        self.progress.say(self.headline())
        if self.step == 0 and self.peers.is_first:
            figure = self.folder.path / "figures" / "augmented.png"
            key = base_key(self.config.seed)  # on this process's devices, where the state's own may not be
            self.draw(partial(write_preview, figure, self.parts, self.feed, key))
        try:
            with StopRequest(self.peers) as stop:
                while self.step < self.schedule.total_steps:
                    self.train_epoch(stop)
                    if stop.reached(self.step) and self.step < self.schedule.total_steps:
                        self.stopped(stop.reason)
                        return None
                return self.finish()
        except NonFiniteLoss:
            raise  # all processes see it in one step: the save that is under way ends as ever
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            self.progress.close()
            self.log.flush()
            distributed.leave(error)  # what follows waits for the save, and so for others that don't know of the error
            raise
        finally:
            self.progress.close()
            self.checkpoints.close()
            self.log.close()

    def train_epoch(self, stop: StopRequest) -> None:
        """Trains to the end of the epoch, or until asked to stop; logs, evaluates and saves as the config says."""
        epoch = self.schedule.epoch_of_step(self.step)
        end = self.schedule.step_of_epoch(epoch + 1)
        row = self.train_until(end, stop)
        self.log.write("train", self.step, self.position, row)
        if self.step < end:
            return
        shown = {**row, "train_top1_error": row.get("top1_error"), "top1_error": None}
        last = self.step == self.schedule.total_steps
        if not last and (epoch + 1) % self.config.eval_every_epochs == 0:
            shown |= self.evaluated(self.config.evals.periodic)
        self.progress.epoch(epoch + 1, shown)
        if (warning := self.parts.task.warning(self.config, row)) is not None:
            self.progress.say(f"warning: {warning}")
        if last or (epoch + 1) % self.config.checkpoint_every_epochs == 0:
            self.save()
        for problem in self.checkpoints.problems():
            self.progress.warn(f"{problem}. Training goes on; the next save is tried as planned")

    def train_until(self, end: int, stop: StopRequest) -> dict[str, float]:
        """Trains to step `end`, or until asked to stop; returns the means over what was seen."""
        batch, under_way, totals = self.schedule.batch_size, deque[tuple[int, StepSums]](), None
        self.watch.start()
        for state, step, sums in self.feed.run(self.state, self.step, end):
            self.state, images, self.step = state, (step - self.step) * batch, step
            self.progress.advance(images)
            compiled = self.watch.is_first(images)
            under_way.append((images, sums))
            while len(under_way) > (0 if compiled else READ_BEHIND):
                totals = self.read(totals, *under_way.popleft())
                self.progress.running(totals.means)
            if compiled:
                self.watch.start()
            if stop.reached(self.step):
                break
        while under_way:
            totals = self.read(totals, *under_way.popleft())
        rate = self.watch.stop()
        return {
            **({} if totals is None else totals.means),
            "learning_rate": float(self.learning_rate(self.step - 1)),
            **({"examples_per_second": rate} if rate else {}),
        }

    def read(self, totals: StepSums | None, images: int, sums: StepSums) -> StepSums:
        """Waits for a dispatch's sums and adds them up; raises NonFiniteLoss if something in it was not finite."""
        sums = jax.device_get(sums)
        self.watch.count(images)
        if sums.first_bad_step != NO_STEP:
            raise self.not_finite("loss, or the gradient of the step before,", int(sums.first_bad_step))
        return sums if totals is None else totals.plus(sums)

    def not_finite(self, what: str, step: int) -> NonFiniteLoss:
        """The error that says what became NaN or infinite, when, and what is left."""
        newest = self.checkpoints.latest_step()
        kept = "no checkpoint had been saved" if newest is None else f"the checkpoint of step {newest} is kept"
        return NonFiniteLoss(
            f"the {what} became NaN or infinite at step {step}; {kept}. "
            f"Try a smaller --config.optimizer.learning_rate than {self.config.optimizer.learning_rate:g}."
        )

    def evaluated(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Evaluates, logs and returns the figures, and remembers the smallest error."""
        figures = self.evaluation.run(names, self.state)
        self.log.write("test", self.step, self.position, figures)
        errors = [e for e in (self.kept["best_top1_error"], figures.get("top1_error")) if e is not None]
        self.kept["best_top1_error"] = min(errors, default=None)
        return figures

    def save(self) -> None:
        """Starts saving a checkpoint; raises NonFiniteLoss rather than save parameters that are not finite."""
        if not all_finite((self.state.params, self.state.batch_stats)):
            raise self.not_finite("network's statistics or parameters", self.step)
        self.log.flush()  # whoever goes on from this checkpoint needs the rows before it
        self.kept["wall_seconds"] = time.perf_counter() - self.began
        self.checkpoints.save(self.state, self.step, self.kept)

    def save_now(self) -> None:
        """Saves and waits until it is done; raises UsageError if it can't be, which says why of each process."""
        self.save()
        self.checkpoints.wait()
        newest = self.peers.exchange("".join(self.checkpoints.problems()[-1:]))
        if problems := dict.fromkeys(problem for problem in newest if problem):
            raise self.unsaved("; ".join(problems))

    def unsaved(self, problem: str) -> UsageError:
        """The error that says what of the run is not on disk, and how to go on."""
        newest = self.checkpoints.latest_step()
        where = "the start" if newest is None else f"step {newest}"
        return UsageError(
            f"{problem}, in {self.folder.path}. Make room there, then give the same command: it goes on from {where}."
        )

    def draw(self, figures: Callable[[], object]) -> None:
        """Draws figures, or says why they can't be: no reason to lose the training."""
        try:
            figures()
        except (OSError, UsageError) as error:
            self.progress.warn(f"a figure is missing: {str(error).rstrip('.')}")

    def stopped(self, reason: str) -> None:
        """Saves and says how to go on."""
        self.save_now()
        self.progress.say(f"{reason}: saved at step {self.step} in {self.folder.path}. The same command goes on.")

    def finish(self) -> dict[str, Any]:
        """Evaluates everything, writes summary and figures."""
        figures = self.evaluated(self.config.evals.final)
        self.save_now()
        summary = summarize(
            self.config,
            figures,
            steps=self.step,
            num_train=self.schedule.num_train,
            num_test=self.num_test,
            best_top1_error=self.kept["best_top1_error"],
            examples_per_second=self.watch.rate,
            wall_seconds=time.perf_counter() - self.began,
        )
        if self.peers.is_first:
            try:
                write_json(self.folder.path / "summary.json", summary)
            except OSError as error:
                raise self.unsaved(f"summary.json can't be written ({error.strerror})") from None
            self.draw(partial(write_run_figures, self.folder.path))
        self.progress.say(f"finished in {self.folder.path}\n{describe(figures)}")
        return summary

    @property
    def position(self) -> float:
        """Epochs done, with a fraction."""
        return self.step * self.schedule.batch_size / self.schedule.num_train

    def headline(self) -> str:
        """One line that says what is run, and where."""
        config, s = self.config, self.schedule
        start = f"going on at step {self.step}" if self.step else "from the start"
        return (
            f"{config.name}: {self.parts.task.describe(config)}. {config.model.name}, {s.num_train} images, "
            f"{s.epochs} epochs, {s.total_steps} steps on {jax.device_count()} x {jax.devices()[0].device_kind}; "
            f"{start}, in {self.folder.path}"
        )
