"""README's example runs and prints what README says; its numbers, and those of docs/, are those of the records."""

import contextlib
import io
import json
import re
from functools import partial
from pathlib import Path

import jax
import numpy as np
from scipy.stats import ttest_ind

from softaug_jax.report import statistics

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RESULTS = (ROOT / "docs" / "results.md").read_text()
STUDY = {  # a record's figures as docs/study.md shows them: scale, digits
    "top1_error": (100, 2),
    "nll": (1, 3),
    "ece": (100, 2),
    **{f"occlusion/top1_error@{share}%": (100, 2) for share in (20, 40, 60, 80)},
}


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
        record = json.loads((ROOT / "benchmarks" / "results" / name).read_text())
        keys = ("top1_error", "occlusion/top1_error@40%", "ece")
        assert [f"{100 * record[key]:.2f}" for key in keys] == shown


def test_the_methods_figures_are_those_of_their_records():
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", RESULTS, re.M)
    assert len(rows) == 10
    for slug, *shown in rows:
        path = ROOT / "benchmarks" / "results" / f"table1-cifar10-{slug}-resnet8-3ep-seed0-cpu.json"
        record = json.loads(path.read_text())
        figures = [100 * record["top1_error"], record["nll"], 100 * record["ece"]]
        figures.append(100 * record["occlusion/top1_error@40%"])
        assert [f"{value:.{digits}f}" for value, digits in zip(figures, (2, 3, 2, 2), strict=True)] == shown


def test_the_studys_figures_are_those_of_its_records():
    rows = re.findall(r"^\| .+ \|(( [\d.]+ \|){7}) `([\w.-]+\.json)` \|$", (ROOT / "docs/study.md").read_text(), re.M)
    assert len(rows) == 11
    for figures, _, name in rows:
        record = json.loads((ROOT / "benchmarks" / "results" / name).read_text())
        expected = [f"{scale * record[key]:.{digits}f}" for key, (scale, digits) in STUDY.items()]
        assert figures.replace("|", "").split() == expected


def test_the_studys_means_are_those_of_their_seeds():
    text = (ROOT / "docs/study.md").read_text()
    rows = re.findall(
        r"^\| .+? \|(?: (\d) \|)?((?: [\d.]+ ± [\d.]+ \|){7}) `([\w.-]+seed)N(-cpu\.json)` \|$", text, re.M
    )
    assert [n for n, *_ in rows] == ["", "", "", *"3333", *"3333", *"333", *"3333", *"33"]
    for n, figures, before, after in rows:
        paths = sorted((ROOT / "benchmarks/results").glob(f"{before}[0-9]{after}"))
        assert len(paths) == int(n or 3)
        records = [json.loads(path.read_text()) for path in paths]
        expected = []
        for key, (scale, digits) in STUDY.items():
            mean, error = statistics.mean_and_error([scale * record[key] for record in records])
            expected.append(f"{mean:.{digits}f} ± {error:.{digits}f}")
        assert [shown.strip() for shown in figures.split("|")[:-1]] == expected


def test_the_self_supervised_figures_are_those_of_their_records():
    rows = re.findall(r"^\| SimSiam, .+? \| [\d.]+ \| ([\d.]+) \| ([\d.]+) \| `([\w.-]+\.json)` \|$", RESULTS, re.M)
    assert len(rows) == 2
    for *shown, name in rows:
        record = json.loads((ROOT / "benchmarks" / "results" / name).read_text())
        assert [f"{100 * record[key]:.2f}" for key in ("knn_top1_error", "top1_error")] == shown


def test_the_calibration_methods_figures_are_those_of_their_records():
    rows = re.findall(
        r"^\| [^|]+ \| `\w+` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.-]+) \| `(table3-[\w.-]+)` \|$", RESULTS, re.M
    )
    assert len(rows) == 7
    for *shown, name in rows:
        record = json.loads((ROOT / "benchmarks" / "results" / name).read_text())
        of = record.get("figures", record)  # those of an ensemble are a test's, not a training's
        ece, energy = of.get("ece_10_bins", of.get("ece")), of.get("energy/auroc_right")
        expected = [f"{100 * of['top1_error']:.2f}", f"{of['nll']:.3f}", f"{100 * ece:.2f}"]
        assert [*expected, "-" if energy is None else f"{energy:.3f}"] == shown


def test_the_figures_by_fill_are_those_of_their_records():
    text = (ROOT / "docs/study.md").read_text()
    rows = re.findall(r"^\| [\w ,]+ \| ([a-z ]+) \|((?: [\d.]+ \|){5}) `(occlusion-[\w.-]+)` \|$", text, re.M)
    assert len(rows) == 21
    keys = {"mean colour": "mean", "black": "black", "uniform noise": "noise"}
    hidden40: dict[str, dict[str, float]] = {fill: {} for fill in keys}
    for fill, figures, name in rows:
        of = json.loads((ROOT / "benchmarks" / "results" / name).read_text())["figures"][keys[fill]]
        expected = [f"{100 * of[f'occlusion/top1_error@{share}%']:.2f}" for share in (0, 20, 40, 60, 80)]
        assert figures.replace("|", "").split() == expected
        hidden40[fill][name.split("-")[2]] = 100 * of["occlusion/top1_error@40%"]
    gain = lambda fill, row: hidden40[fill]["baseline"] - hidden40[fill][f"{row}_cropped_to_the_end"]
    ends = "sa", "soft_crop", "smoothing"
    colour, black = (sorted(gain(fill, row) for row in ends) for fill in ("mean colour", "black"))
    soft, hard, constant = (gain("uniform noise", row) for row in ends)
    for said in (
        f"gain {colour[0]:.1f} to {colour[-1]:.1f} points in the mean colour and lose {-black[-1]:.1f} to "
        f"{-black[0]:.1f} in black; in noise SA gains {soft:.1f}, the constant loses {-constant:.1f} and hard targets "
        f"lose {-hard:.1f}",
        f"SA errs {soft - hard:.1f} points less than hard targets",
    ):
        assert said in " ".join(text.split()), said


def test_the_methods_costs_are_those_of_their_record():
    cost = json.loads((ROOT / "benchmarks" / "results" / "methods_cost.json").read_text())
    rates = {case: f["images_per_second"]["median"] for case, f in cost["settings"][0]["cases"].items()}
    for name in ("SNGP", "DUQ", "DDU"):
        (shown,) = re.findall(rf"\bof {name}\s+(?:takes )?([\d.]+) times", RESULTS)
        assert f"{rates['hard_crop'] / rates[name.lower()]:.2f}" == shown


def test_the_soaks_figures_are_those_of_their_records():
    pods = " ".join((ROOT / "docs" / "pods.md").read_text().split())
    one, two = (
        json.loads((ROOT / "benchmarks" / "results" / f"soak{name}.json").read_text())
        for name in ("", "-two_processes")
    )
    for record in (one, two):
        for figure in ("kills", "trainings", "steps redone"):
            assert f"{record[figure.replace(' ', '_')]} {figure}" in pods
        assert record["arrays_that_differ"] == record["rows_that_differ"] == 0
        assert record["kills"] == len(record["seconds_until_killed"])
    assert f"{one['killed_in_start_up']} of them in start-up and {one['killed_while_saving']} while saving" in pods
    assert two["processes"] == 2
    assert f"after {two['others_ended_after_seconds_at_most']:.0f} s at most" in pods


def test_the_ratio_to_the_peer_is_that_of_its_record():
    record = json.loads((ROOT / "benchmarks" / "results" / "compare-resnet8-cpu.json").read_text())
    ratio = f"{record['ours_to']['gpu']['median']:.2f}"
    assert f"{ratio} times as fast as such a peer" in " ".join(README.split())
    assert f"ours trains at {ratio} times the rate" in (ROOT / "benchmarks" / "NOTES.md").read_text()


def test_the_policies_ratios_are_those_of_their_records():
    results = ROOT / "benchmarks" / "results"
    ratios = [
        json.loads((results / name).read_text())["ratio_ours_to"] for name in ("policies.json", "policies_switch.json")
    ]
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
    record = json.loads((ROOT / "benchmarks" / "results" / "input_pipeline.json").read_text())
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


def seeds(row, key="top1_error", epochs=500, per_class=200):
    """A figure of each seed of a row of the study's small network; errors in percent."""
    paths = (ROOT / "benchmarks/results").glob(
        f"cifar10_{row}-{per_class}perclass-resnet8-{epochs}ep-seed[0-9]-cpu.json"
    )
    return [(1 if key == "nll" else 100) * json.loads(path.read_text())[key] for path in sorted(paths)]


def difference(a, b):
    """How much more the seeds of `a` have than those of `b`, with its standard error; and by which chance."""
    between = np.sqrt(np.var(a, ddof=1) / len(a) + np.var(b, ddof=1) / len(b))
    return f"{np.mean(a) - np.mean(b):.1f} ± {between:.1f}", ttest_ind(a, b).pvalue


def test_the_controls_figures_are_those_of_their_records():
    hidden = "occlusion/top1_error@40%"

    def error(row):
        mean, error = statistics.mean_and_error(seeds(row))
        return f"{mean:.1f} ± {error:.1f}"

    mean = lambda *of, digits=1: f"{np.mean(seeds(*of)):.{digits}f}"
    nll = lambda row: mean(row, "nll", digits=2)
    nll100 = lambda row: mean(row, "nll", 100, digits=2)
    chance = lambda a, b, *of, digits=2: f"p = {ttest_ind(seeds(a, *of), seeds(b, *of)).pvalue:.{digits}f}"
    paired = lambda a, b, key=hidden: statistics.mean_and_error(np.subtract(seeds(a, key), seeds(b, key)).tolist())
    gain = lambda row: f"{np.mean(seeds('baseline', hidden)) - np.mean(seeds(row, hidden)):.1f}"
    rows = sa, hard, crop, constant = "sa", "baseline", "soft_crop", "soft_crop_label_smoothing"
    to_the_end, hard_targets, smoothed = (f"{row}_cropped_to_the_end" for row in ("sa", "soft_crop", "smoothing"))
    first = lambda row, key="top1_error": f"{seeds(row, key, 100)[0]:.1f}"
    differ = lambda a, b: " ± ".join(f"{value:.1f}" for value in paired(a, b))
    assert (
        all(len(seeds(row)) == 3 for row in (*rows, to_the_end, hard_targets, smoothed))
        and len(seeds(hard, epochs=100)) == 1
    )
    readme, study = (" ".join(text.split()) for text in (README, (ROOT / "docs/study.md").read_text()))
    for said in (
        f"underfits: {mean(sa, 'top1_error', 100)} % error against {mean(hard, 'top1_error', 100)} % (one seed) for",
        f"SA has {error(sa)} % and the hard crop {error(hard)} %: within noise",
        f"{error(sa)} % against {error(constant)} % ({chance(sa, constant)}); after 100 the two were alike",
        f"Against hard targets, {error(crop)} %, it is {chance(sa, crop)}",
        f"ECE is {mean(sa, 'ece')} % with it, {mean(crop, 'ece')} % with the same crop and hard targets, "
        f"{mean(hard, 'ece')} % with the hard crop; NLL {nll(sa)}, {nll(crop)} and {nll(hard)}.",
        f"calibrates as well: {mean(constant, 'ece')} %, and {nll(constant)}.",
        f"SA gains {gain(sa)} points on the hard crop ({chance(sa, hard, hidden)}). With the crop on to the last epoch",
        f"code does) it gains {gain(to_the_end)}, and the same crop with hard targets {gain(hard_targets)}.",
        f"SA's ECE is {mean(to_the_end, 'ece')} %, hard targets' {mean(hard_targets, 'ece')} %.",
    ):
        assert said in readme, said
    for said in (
        f"{error(sa)} % against {error(constant)} with",
        f"ECE {mean(sa, 'ece')} % for SA, {mean(crop, 'ece')} for the same crop with hard targets, {mean(hard, 'ece')}",
        f"SA errs {gain(sa)} ± 1.3 points less than the hard crop ({chance(sa, hard, hidden)}), and constant",
        f"smoothing under the same crop {gain(constant)} ± 1.3 (p = 0.005); between these two it is 1.2 ± 0.5 in "
        f"favour of the constant ({chance(sa, constant, hidden)})",
        f"by {differ(sa, to_the_end)} (SA), {differ(crop, hard_targets)} (hard targets) and "
        f"{differ(constant, smoothed)} points (constant) at 40 %",
        f"hard targets gain {gain(hard_targets)} ± 1.5 points at 40 % hidden, constant smoothing {gain(smoothed)} "
        f"± 1.3 and SA {gain(to_the_end)} ± 1.3; SA errs 3.8 ± 0.8 more than hard targets "
        f"({chance(to_the_end, hard_targets, hidden)})",
        f"against the constant error 2.0 ± 0.6 ({chance(to_the_end, smoothed)})",
        f"the end SA errs on {first(to_the_end)} % instead of {first(sa)}, and on {first(to_the_end, hidden)} instead "
        f"of {first(sa, hidden)} % with 40 % hidden, "
        f"at an ECE of {first(to_the_end, 'ece')} instead of {first(sa, 'ece')} %",
        f"ECE {mean('noise', 'ece', 100)} for {mean('noise_hard', 'ece', 100)}, NLL {nll100('noise')} for "
        f"{nll100('noise_hard')}, {chance('noise', 'noise_hard', 'nll', 100, digits=3)})",
        " errs on " + ", ".join(f"{value:.1f}" for value in seeds(crop, hidden)[:2]) + " and ",
    ):
        assert said in study, said


def test_the_answers_where_the_paper_is_silent_are_those_of_their_records():
    sa, hidden, of_100 = "sa", "occlusion/top1_error@40%", partial(seeds, epochs=100)
    mean = lambda row, key, digits=1: f"{np.mean(of_100(row, key)):.{digits}f}"
    chance = lambda row, key, digits=2: f"p = {difference(of_100(row, key), of_100(sa, key))[1]:.{digits}f}"
    more = lambda row, key: difference(of_100(row, key), of_100(sa, key))[0]
    study = " ".join((ROOT / "docs/study.md").read_text().split())
    for said in (
        f"does worse here**: {more('sa_sigma0.375_k2', 'top1_error')} points of error "
        f"({chance('sa_sigma0.375_k2', 'top1_error')}), NLL {mean('sa_sigma0.375_k2', 'nll', 2)} for "
        f"{mean(sa, 'nll', 2)} ({chance('sa_sigma0.375_k2', 'nll')}), ECE {mean('sa_sigma0.375_k2', 'ece')} for "
        f"{mean(sa, 'ece')} % ({chance('sa_sigma0.375_k2', 'ece', 3)})",
        f"colour costs {more('sa_black', 'top1_error')} points of error** (three seeds, "
        f"{chance('sa_black', 'top1_error', 3)}), and {more('sa_black', hidden)} with 40 % hidden by "
        f"the mean colour ({chance('sa_black', hidden, 3)})",
        f"is within noise: {of_100('sa_fill_noise')[0]:.1f} %",
        f"SA itself has {' ± '.join(f'{value:.2f}' for value in statistics.mean_and_error(of_100(sa)))} % "
        f"({min(of_100(sa)):.1f} to {max(of_100(sa)):.1f} by its seeds)",
        f"({chance('sa_normalized', 'top1_error')} and "
        f"{chance('sa_nearest', 'top1_error').removeprefix('p = ')} in error). With 40 % hidden both err "
        f"{np.mean(of_100('sa_normalized', hidden)) - np.mean(of_100(sa, hidden)):.1f} points more than SA "
        f"({chance('sa_normalized', hidden)} and "
        f"{chance('sa_nearest', hidden).removeprefix('p = ')}",
    ):
        assert said in study, said


def test_the_figures_of_500_images_are_those_of_their_records():
    seeds_of_500 = partial(seeds, epochs=1000, per_class=50)
    hard, uncropped, soft = "baseline", "sa", "sa_cropped_to_the_end"
    crop = "soft_crop_cropped_to_the_end"
    error, hidden = "top1_error", "occlusion/top1_error@40%"
    shown = lambda row, key=error: "{:.1f} ± {:.1f}".format(*statistics.mean_and_error(seeds_of_500(row, key)))
    mean = lambda row, key, digits=1: f"{np.mean(seeds_of_500(row, key)):.{digits}f}"

    def gain(row, key, than=hard):
        """How much less than another row's, with the standard error of the difference; and by which chance."""
        return difference(seeds_of_500(than, key), seeds_of_500(row, key))

    readme, study = (" ".join(text.split()) for text in (README, (ROOT / "docs/study.md").read_text()))
    (in_error, by_chance), (in_hidden, hidden_by_chance) = gain(soft, error), gain(soft, hidden)
    said = (
        f"{shown(soft)} % against {shown(hard)} % for the hard crop (p = {by_chance:.3f}), with an ECE of "
        f"{mean(soft, 'ece')} % for {mean(hard, 'ece')} %, an NLL of {mean(soft, 'nll', 2)} for "
        f"{mean(hard, 'nll', 2)}, and {in_hidden.split()[0]} points less error with 40 % hidden "
        f"(p = {hidden_by_chance:.2f})"
    )
    assert said in readme, said
    by_seed = ", ".join(f"{value:.1f}" for value in seeds_of_500(crop, error)[:2])
    said = (
        f"hard targets has {shown(crop)} %, which is within noise of both, an ECE of {mean(crop, 'ece')} % and an "
        f"NLL of {mean(crop, 'nll', 2)}."
    )
    assert said in readme, said
    (takes, take_by_chance) = gain(crop, hidden, soft)
    for said in (
        f"hard targets has an ECE of {mean(crop, 'ece')} % and an NLL of {mean(crop, 'nll', 2)}: far worse than the "
        f"hard crop's {mean(hard, 'ece')} % and {mean(hard, 'nll', 2)}",
        f"the crop has {shown(crop)} % ({by_seed} and {seeds_of_500(crop, error)[2]:.1f} by its seeds), within noise "
        f"of the hard crop (p = {gain(crop, error)[1]:.2f}) and of SA (p = {gain(crop, error, soft)[1]:.2f})",
        f"err on {shown(crop, hidden)} %, which is {takes} points less than SA (p = {take_by_chance:.3f})",
        f"by {in_error} points (p = {by_chance:.3f})**",
        f"NLL falls from {mean(hard, 'nll', 2)} to {mean(soft, 'nll', 2)}, ECE from {mean(hard, 'ece')} to "
        f"{mean(soft, 'ece')} %, and with 40 % hidden the error by {in_hidden} points (p = {hidden_by_chance:.2f})",
        f"it does not** ({mean(uncropped, error)} %, within noise), but is far better calibrated: ECE "
        f"{mean(uncropped, 'ece')} %, NLL {mean(uncropped, 'nll', 2)}. With 40 % hidden it still gains "
        f"{gain(uncropped, hidden)[0]} points (p = {gain(uncropped, hidden)[1]:.2f})",
    ):
        assert said in study, said
