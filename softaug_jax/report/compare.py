"""One row against another, in plain words and with what noise allows to say."""

from __future__ import annotations

from collections.abc import Sequence

from softaug_jax.report.layout import shown
from softaug_jax.report.runs import OCCLUSION, Run
from softaug_jax.report.statistics import Figure, binomial_noise, difference, mean_and_error, pooled_error, t_quantile


def differences(first: Sequence[Run], second: Sequence[Run], first_name: str, second_name: str) -> str:
    """Says how much the second group of runs differs from the first, in what settings, and whether it is noise."""
    what = f"{second_name} - {first_name}"
    if not _same_test(first[0], second[0]):
        return f"{what}: not compared, they were tested on different data."
    numbers = [_points("top-1 error", "top1_error", first, second), _difference("NLL", "nll", first, second)]
    numbers.append(_points("ECE", "ece", first, second))
    levels = [key for key in first[0].results if key.startswith(OCCLUSION) and key != OCCLUSION + "0%"]
    numbers += [_points(f"error with {key.removeprefix(OCCLUSION)} hidden", key, first, second) for key in levels]
    known = ", ".join(number for number in numbers if number)
    figures = known or "no figure that all of them have"
    return f"{what}: {figures}. {_settings(first[0], second[0])} {_noise(first, second)}".rstrip()


def _same_test(first: Run, second: Run) -> bool:
    return all(first.results[key] == second.results[key] for key in ("dataset", "num_test"))


def _points(name: str, key: str, first: Sequence[Run], second: Sequence[Run]) -> str:
    text = _difference(name, key, first, second, scale=100, digits=2)
    return text and f"{text} points"


def _difference(
    name: str, key: str, first: Sequence[Run], second: Sequence[Run], scale: float = 1, digits: int = 3
) -> str:
    """For example "ECE -1.20"; empty if not all runs have the figure."""
    if any(key not in run.results for run in [*first, *second]):
        return ""
    return f"{name} {shown(_mean_difference(key, first, second), scale, digits, '+')}"


def _mean_difference(key: str, first: Sequence[Run], second: Sequence[Run]) -> Figure:
    """Second minus first, and its standard error over seeds if both have several."""
    means = [mean_and_error([run.results[key] for run in members]) for members in (first, second)]
    return difference(*means)


def _settings(first: Run, second: Run) -> str:
    a, b = first.settings, second.settings
    differ = [name for name in a | b if a.get(name) != b.get(name) and name != "name"]
    shown = ", ".join(f"{name} ({a.get(name)} -> {b.get(name)})" for name in differ)
    return f"They differ in {shown}." if differ else "They differ in name only."


def noise_limit(first: Sequence[Run], second: Sequence[Run]) -> float:
    """How large a difference in top-1 error must be, at 95 %, to be more than noise.

    Over seeds, where both have several that differ; else binomial on the test images, to which the choice of seed adds.
    """
    errors = [[run.results["top1_error"] for run in members] for members in (first, second)]
    if (error := pooled_error(*errors)) is not None:
        return t_quantile(len(first) + len(second) - 2) * error
    means = [mean_and_error(each)[0] for each in errors]
    return 1.96 * binomial_noise(means, [first[0].results["num_test"]] * 2)


def _noise(first: Sequence[Run], second: Sequence[Run]) -> str:
    """How large a top-1 difference must be, at 95 %, and whether this one is; empty if not all runs have the figure."""
    if any("top1_error" not in run.results for run in [*first, *second]):
        return ""
    errors = [[run.results["top1_error"] for run in members] for members in (first, second)]
    change, _ = _mean_difference("top1_error", first, second)
    limit = noise_limit(first, second)
    if pooled_error(*errors) is not None:
        why = f"at 95 % over {len(first)} and {len(second)} seeds"
        counted = ""
    else:
        why = f"binomial at 95 % on {first[0].results['num_test']:,} test images, to which the choice of seed adds"
        counted = "One seed each: " if len(first) == len(second) == 1 else "One seed in one of them: "
        if min(map(len, errors)) > 1:
            counted = "No seed differs from another: "
    verdict = "within noise" if abs(change) <= limit else "larger than that"
    text = f"top-1 differences under about {100 * limit:.2f} points are within noise ({why}); this one is {verdict}."
    return counted + text if counted else text[0].upper() + text[1:]
