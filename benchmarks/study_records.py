"""What the study has measured: its records as runs, which row each belongs to, and how long a run will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import study_lists
from benchmarks.study_lists import Entry
from softaug_jax.report.placing import Placed, place
from softaug_jax.report.runs import Run
from softaug_jax.run_files import read_history, read_json, settings
from softaug_jax.sweep import Job


def read(folders: Iterable[Path]) -> list[Run]:
    """The records in the folders, as runs; files that are no records of runs are passed over."""
    contents = {path: read_json(path) for folder in folders for path in sorted(folder.glob("*.json"))}
    needed = {"settings", "dataset", "model", "epochs", "seed", "top1_error"}
    return [Run(path, each["settings"], [], each) for path, each in contents.items() if needed <= each.keys()]


def sort(entries: Sequence[Entry], runs: Sequence[Run], extra: Sequence[str]) -> Placed:
    """Puts the runs into the entries; those of the entries' images and networks that are of no list are strays."""
    every = {entry[:4]: entry for entry in entries}
    for dataset, model in dict.fromkeys(entry[:2] for entry in entries):
        for name in study_lists.LISTS:
            for entry in study_lists.entries(name, dataset, model, extra=extra):
                every.setdefault(entry[:4], entry)
    asked = _asked(entries)
    return place(list(every.values()), [run for run in runs if _images_and_network(run) in asked])


def other_amounts(entries: Sequence[Entry], runs: Iterable[Run]) -> list[str]:
    """What there is of the entries' images and networks, but trained on another number of images, a sentence each."""
    asked = _asked(entries)
    of = Counter(_images_and_network(run) for run in runs)
    words = lambda number: f"{number} images of each class" if number else "all images"
    return [
        f"Of {model} on {dataset} {count} are trained on {words(number)}: -- --config.data.images_per_class={number} "
        "shows them."
        for (dataset, model, number), count in sorted(of.items())
        if (dataset, model, number) not in asked and (dataset, model) in {key[:2] for key in asked}
    ]


def images_per_class(entry: Entry) -> int:
    """How many images of each class it is trained on; 0: all."""
    number: int = entry.build().data.images_per_class
    return number


def _asked(entries: Sequence[Entry]) -> set[tuple[str, str, int]]:
    """The entries' images and networks, as `_images_and_network` has a run's."""
    return {(*entry[:2], images_per_class(entry)) for entry in entries}


def _images_and_network(run: Run) -> tuple[str, str, int]:
    return run.summary["dataset"], run.summary["model"], settings(run.config)["data.images_per_class"]


def seconds_of(job: Job, runs: Iterable[Run], epochs: int, device: tuple[str, int]) -> float | None:
    """How long what is left of a run should take, by the runs of its network on such a device; None: none is known."""
    took = [
        max(run.summary["wall_seconds"], run.summary.get("study", {}).get("process_seconds", 0.0))
        for run in runs
        if "wall_seconds" in run.summary  # a published record has none where the machine was shared
        and (run.summary["model"], run.summary["epochs"]) == (job.cell.model, epochs)
        and (run.summary["device"], run.summary["num_devices"]) == device
    ]
    done = max((row["epoch"] for row in read_history(job.workdir / "metrics.jsonl")), default=0.0) / epochs
    return sum(took) / len(took) * (1.0 - done) if took else None
