"""README's example runs and prints what README says; its numbers, and those of docs/, are those of the records."""

import contextlib
import io
import re

import jax
import numpy as np

from tests.docs.recorded import HIDDEN, README, ROOT, difference, means, read, runs

RESULTS = (ROOT / "docs" / "results.md").read_text()


def test_examples_print_what_readme_says():
    examples = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", README, re.S)
    assert len(examples) == 2
    for code, printed in examples:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), jax.numpy_rank_promotion("allow"):  # JAX's default, and so the reader's
            exec(code, {})
        assert out.getvalue() == printed


def test_quoted_runs_are_recorded():
    rows = re.findall(r"^\| CIFAR.*?\| ([\d.]+) \(n = 1\) \| ([\d.]+) \| ([\d.]+) \|.*`([\w.-]+\.json)`", README, re.M)
    assert rows
    for *shown, name in rows:
        record = read(name)
        keys = ("top1_error", HIDDEN, "ece")
        assert [f"{100 * record[key]:.2f}" for key in keys] == shown


def test_the_digits_means_and_what_is_said_of_them_are_those_of_their_records():
    rows = re.findall(r"^\| .+? \|((?: [\d.]+ ± [\d.]+ \|){7}) `(digits_\w+)` \|$", README, re.M)
    found = {row: runs(f"{row}-resnet8-60ep-seed[0-9]-cpu.json") for _, row in rows}
    assert [len(records) for records in found.values()] == [5] * 4
    for shown, row in rows:
        assert [figure.strip() for figure in shown.split("|")[:-1]] == means(found[row])
    hard, soft, crop, _ = ([100 * run["top1_error"] for run in records] for records in found.values())
    hard40, soft40, *_ = ([100 * run[HIDDEN] for run in records] for records in found.values())
    for said in (
        f"from {np.mean(hard):.2f} to {np.mean(crop):.2f} % (p = {difference(crop, hard)[1]:.3f})",
        f"gives half of that back (p = {difference(soft, crop)[1]:.2f} against hard targets)",
        f"errs {np.mean(hard40) - np.mean(soft40):.1f} points less than the hard crop, which may be chance "
        f"(p = {difference(hard40, soft40)[1]:.2f})",
    ):
        assert said in " ".join(README.split()), said


def test_the_methods_figures_are_those_of_their_records():
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", RESULTS, re.M)
    assert len(rows) == 10
    for slug, *shown in rows:
        record = read(f"table1-cifar10-{slug}-resnet8-3ep-seed0-cpu.json")
        figures = [100 * record["top1_error"], record["nll"], 100 * record["ece"]]
        figures.append(100 * record[HIDDEN])
        assert [f"{value:.{digits}f}" for value, digits in zip(figures, (2, 3, 2, 2), strict=True)] == shown


def test_the_self_supervised_figures_are_those_of_their_records():
    rows = re.findall(r"^\| SimSiam, .+? \| [\d.]+ \| ([\d.]+) \| ([\d.]+) \| `([\w.-]+\.json)` \|$", RESULTS, re.M)
    assert len(rows) == 2
    for *shown, name in rows:
        record = read(name)
        assert [f"{100 * record[key]:.2f}" for key in ("knn_top1_error", "top1_error")] == shown


def test_the_calibration_methods_figures_are_those_of_their_records():
    rows = re.findall(
        r"^\| [^|]+ \| `\w+` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.-]+) \| `(table3-[\w.-]+)` \|$", RESULTS, re.M
    )
    assert len(rows) == 7
    for *shown, name in rows:
        record = read(name)
        of = record.get("figures", record)  # those of an ensemble are a test's, not a training's
        ece, energy = of.get("ece_10_bins", of.get("ece")), of.get("energy/auroc_right")
        expected = [f"{100 * of['top1_error']:.2f}", f"{of['nll']:.3f}", f"{100 * ece:.2f}"]
        assert [*expected, "-" if energy is None else f"{energy:.3f}"] == shown


def test_the_methods_costs_are_those_of_their_record():
    cost = read("methods_cost.json")
    rates = {case: f["images_per_second"]["median"] for case, f in cost["settings"][0]["cases"].items()}
    for name in ("SNGP", "DUQ", "DDU"):
        (shown,) = re.findall(rf"\bof {name}\s+(?:takes )?([\d.]+) times", RESULTS)
        assert f"{rates['hard_crop'] / rates[name.lower()]:.2f}" == shown


def test_the_soaks_figures_are_those_of_their_records():
    pods = " ".join((ROOT / "docs" / "pods.md").read_text().split())
    one, two = (read(f"soak{name}.json") for name in ("", "-two_processes"))
    for record in (one, two):
        for figure in ("kills", "trainings", "steps redone"):
            assert f"{record[figure.replace(' ', '_')]} {figure}" in pods
        assert record["arrays_that_differ"] == record["rows_that_differ"] == 0
        assert record["kills"] == len(record["seconds_until_killed"])
    assert f"{one['killed_in_start_up']} of them in start-up and {one['killed_while_saving']} while saving" in pods
    assert two["processes"] == 2
    assert f"after {two['others_ended_after_seconds_at_most']:.0f} s at most" in pods


def test_the_ratio_to_the_peer_is_that_of_its_record():
    record = read("compare-resnet8-cpu.json")
    ratio = f"{record['ours_to']['gpu']['median']:.2f}"
    assert f"{ratio} times as fast as such a peer" in " ".join(README.split())
    assert f"ours trains at {ratio} times the rate" in (ROOT / "benchmarks" / "NOTES.md").read_text()


def test_the_policies_ratios_are_those_of_their_records():
    ratios = [read(name)["ratio_ours_to"] for name in ("policies.json", "policies_switch.json")]
    for name in ("RandAugment", "TrivialAugment"):
        (shown,) = re.findall(rf"^\| {name} \| ([\d.]+) times.* \| ([\d.]+) times \|$", RESULTS, re.M)
        assert shown == tuple(
            f"{ratio[f'{name} {peer}']:.1f}" for ratio, peer in zip(ratios, ("torchvision", "switch"), strict=True)
        )
        if name == "RandAugment":
            assert f"RandAugment, with Pillow's pixels, {shown[0]} times as many as torchvision's" in " ".join(
                README.split()
            )


def test_the_input_pipelines_ratios_are_those_of_its_record():
    record = read("input_pipeline.json")
    host, equal_work = (f"{record['ratio_to_per_image'][case]:.0f} times" for case in ("host", "host+pixels"))
    assert re.search(rf"^\| ours, host only .* \| {host} as many", RESULTS, re.M)
    assert re.search(rf"^\| ours, with the device's .* \| {equal_work} \|", RESULTS, re.M)
    assert f"our tf.data input pipeline gives {equal_work} as many images" in README


def test_the_snippets_names_exist():
    snippets = re.findall(r"```\n(from softaug_jax import \w+\n.*?)```", README, re.S)
    assert len(snippets) == 2
    for code in snippets:
        imports, calls = code.split("\n\n")
        scope: dict = {}
        exec(imports, scope)
        for name in re.findall(r"(?:models|weights|evaluate)\.\w+(?=\()", calls):
            assert callable(eval(name, scope))
