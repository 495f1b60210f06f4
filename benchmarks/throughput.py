"""Images per second of our training, everything counted: drawing, augmentation, step, metrics.

  python -m benchmarks.throughput --data_dir=DIR [--model=resnet18] [--batch_size=128,1024] [--cases=constant,soft_crop]
      [--loader=device,tfdata] [--steps_per_dispatch=16,64] [--dtype=bfloat16] [--json=FILE] [-- OPTIONS OF main.py]
  python -m benchmarks.throughput --random=4096 --image_px=224 --model=resnet50 --batch_size=256
  python -m benchmarks.throughput --data_dir=DIR --members=3
  python -m benchmarks.throughput --data_dir=DIR --startup --profile=DIR

All cases keep their states on the device and run in turn, round after round. `constant` is the floor: the same step on
one batch that never changes, with nothing drawn and nothing augmented. A round is whole epochs, so that each
epoch's new order and its left-over steps are counted; with --steps it is so many steps. With tf.data the host goes on
filling a case's short queue while others run, which is worth a few batches a round. The record is written after every
round, so that what ends the process leaves what was seen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import first_step, machine, rounds, step_profile
from benchmarks.throughput_cases import FLOOR, MORE_THAN_THREE_PASSES, Setting, add_options, config_for, settings
from softaug_jax.commands import Parser, as_command, positive
from softaug_jax.run_files import write_json


@as_command
def main(words: list[str]) -> int:
    """Measures, writes the record and prints the table; 0, or 2 if something asked for can't be done."""
    options, extra = _parser().parse_with_extra(words)
    record = measured(options, extra, words, lambda record: write_json(options.json, record) if options.json else None)
    print(table(record))
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.add_argument("--members", type=positive, default=1, help="time so many seeds at once against one instead")
    parser.add_argument("--startup", action="store_true", help="also time compilation and the first step, in children")
    parser.add_argument("--profile", type=Path, help="also trace each case into this folder, in children")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="that a round takes at least")
    parser.add_argument("--json", type=Path, help="where to write the record")
    return parser


Save = Callable[[dict[str, Any]], None]


def measured(options: argparse.Namespace, extra: Sequence[str], words: Sequence[str], save: Save) -> dict[str, Any]:
    """The record, which `save` gets whenever there is more of it.

    Children run first: once this process has the device, it has most of its memory too.
    """
    load = machine.load()  # before the children, whose load is this benchmark's
    children: dict[str, Any] = {}
    if options.startup:
        children["startup"] = first_step.in_children(options, extra)
    if options.profile:
        children["profile"] = step_profile.in_children(options, extra, options.profile)
    record = {**machine.jax_provenance("benchmarks.throughput", words), "load": load, **children}
    save(record)
    figures = _members if options.members > 1 else _cases
    found = figures(options, extra, lambda found: save({**record, **found}))
    return {**record, **found}


def _cases(options: argparse.Namespace, extra: Sequence[str], save: Save) -> dict[str, Any]:
    """Rates of all cases of each setting, with their ratios to the floor and shares of the matrix rate."""

    from benchmarks import training

    arrays, about = training.data_of(options.dataset, options.data_dir, options.random, options.image_px)
    found: dict[str, Any] = {"dataset": about.name, "images": len(arrays.labels), "random": bool(options.random)}
    found["settings"] = done = []
    for setting in settings(options):
        more = lambda seen: save({**found, "settings": [*done, seen]})
        done.append(_setting(setting, options, extra, (arrays, about), more))
    return found


def _setting(
    setting: Setting, options: argparse.Namespace, extra: Sequence[str], data: Any, save: Save
) -> dict[str, Any]:
    """Rates of all cases of one setting."""
    from benchmarks import roofline, training
    from benchmarks.model_flops import forward_flops

    best = roofline.best_matrix_rate(setting.dtype)
    laps: dict[str, Callable[[], int]] = {}
    flops: dict[str, float | None] = {}
    for case in options.cases:
        config = config_for(options.dataset, case, setting, extra)
        run = training.start(config, *data, constant=case == FLOOR)
        run.warm_up(options.seconds, options.steps)
        laps[case] = run.lap
        forward = forward_flops(run.parts.model, run.state, run.parts.info, config.batch_size) / config.batch_size
        flops[case] = None if case in MORE_THAN_THREE_PASSES else 3 * forward

    def described(rates: dict[str, list[float]]) -> dict[str, Any]:
        cases = {case: _figures(case, rates, flops[case], best) for case in rates}
        return {**setting._asdict(), "name": setting.name, "matrix_flops_per_second": best, "cases": cases}

    return described(rounds.measure(laps, options.rounds, lambda rates: save(described(rates))))


def _figures(case: str, rates: dict[str, list[float]], flops: float | None, best: float) -> dict[str, Any]:
    """What is said of one case; its cost is the time of a step over the floor's, less one."""
    figures: dict[str, Any] = {"images_per_second": rounds.spread(rates[case])}
    if flops is not None:
        figures["training_flops_per_image"] = flops
        figures["share_of_matrix_rate"] = figures["images_per_second"]["median"] * flops / best
    if FLOOR in rates:
        figures["rate_to_floor"] = rounds.ratios(rates[case], rates[FLOOR])
        figures["cost_over_floor"] = 1 / figures["rate_to_floor"]["median"] - 1
    return figures


def _members(options: argparse.Namespace, extra: Sequence[str], save: Save) -> dict[str, Any]:
    """Rates of one member and of several at once, of the last case asked for."""

    from benchmarks import training
    from benchmarks.members import WAYS, start_members

    setting = next(settings(options))
    arrays, about = training.data_of(options.dataset, options.data_dir, options.random, options.image_px)
    config = config_for(options.dataset, options.cases[-1], setting, extra)
    runs = {"one": training.start(config, arrays, about)}
    for way in WAYS:
        runs[way] = start_members(config, range(options.members), arrays, about, way)
    for run in runs.values():
        run.warm_up(options.seconds, options.steps)

    def described(rates: dict[str, list[float]]) -> dict[str, Any]:
        # A step of all members against a step of one: that of n done one after the other is n.
        time_to_one = lambda way: [
            options.members * one / all_ for one, all_ in zip(rates["one"], rates[way], strict=True)
        ]
        return {
            "name": f"{setting.name}, {options.cases[-1]}",
            "members": options.members,
            "images_per_second": {name: rounds.spread(values) for name, values in rates.items()},
            "time_to_one": {way: rounds.spread(time_to_one(way)) for way in WAYS},
        }

    laps = {name: run.lap for name, run in runs.items()}
    return described(rounds.measure(laps, options.rounds, lambda rates: save(described(rates))))


def table(record: dict[str, Any]) -> str:
    """The record's figures, short."""
    lines = [f"{record['device']}, load {record['load']}, commit {record['commit']}"]
    for setting in record.get("settings", ()):
        lines.append(setting["name"])
        for case, figures in setting["cases"].items():
            rate = figures["images_per_second"]
            line = f"  {case:14s} {rate['median']:11,.0f} images/s ({rate['min']:,.0f} to {rate['max']:,.0f})"
            if "share_of_matrix_rate" in figures:
                flops = figures["training_flops_per_image"] / 1e9
                line += f"  {figures['share_of_matrix_rate']:6.1%} of the matrix rate at {flops:.3g} GFLOP an image"
            if case != FLOOR and "cost_over_floor" in figures:
                line += f"  {figures['cost_over_floor']:+7.1%} time over the floor"
            lines.append(line)
    if "time_to_one" in record:
        lines.append(f"{record['name']}: time of {record['members']} members against one")
        lines += [f"  {way:14s} {times['median']:.2f}" for way, times in record["time_to_one"].items()]
    lines += first_step.table(record.get("startup", {})) + step_profile.table(record.get("profile", {}))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
