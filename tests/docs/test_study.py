"""The numbers of docs/study.md, and what README says of them, are those of the records."""

import re
from functools import partial

import numpy as np

from softaug_jax.report import statistics
from tests.docs.recorded import HIDDEN, README, ROOT, SHOWN, difference, means, read, runs, seeds

STUDY = (ROOT / "docs" / "study.md").read_text()


def test_the_studys_figures_are_those_of_its_records():
    rows = re.findall(r"^\| .+ \|(( [\d.]+ \|){7}) `([\w.-]+\.json)` \|$", STUDY, re.M)
    assert len(rows) == 12
    for figures, _, name in rows:
        record = read(name)
        expected = [f"{scale * record[key]:.{digits}f}" for key, (scale, digits) in SHOWN.items()]
        assert figures.replace("|", "").split() == expected


def test_the_studys_means_are_those_of_their_seeds():
    rows = re.findall(
        r"^\| .+? \|(?: (\d) \|)?((?: [\d.]+ ± [\d.]+ \|){7}) `([\w.-]+seed)N(-cpu\.json)` \|$", STUDY, re.M
    )
    assert [n for n, *_ in rows] == ["", "", "", *"3333", *"3333", *"333", *"3333", *"33"]
    for n, figures, before, after in rows:
        records = runs(f"{before}[0-9]{after}")
        assert len(records) == int(n or 3)
        assert [shown.strip() for shown in figures.split("|")[:-1]] == means(records)


def test_the_figures_by_fill_are_those_of_their_records():
    rows = re.findall(r"^\| [\w ,]+ \| ([a-z ]+) \|((?: [\d.]+ \|){5}) `(occlusion-[\w.-]+)` \|$", STUDY, re.M)
    assert len(rows) == 21
    keys = {"mean colour": "mean", "black": "black", "uniform noise": "noise"}
    hidden40: dict[str, dict[str, float]] = {fill: {} for fill in keys}
    for fill, figures, name in rows:
        of = read(name)["figures"][keys[fill]]
        expected = [f"{100 * of[f'occlusion/top1_error@{share}%']:.2f}" for share in (0, 20, 40, 60, 80)]
        assert figures.replace("|", "").split() == expected
        hidden40[fill][name.split("-")[2]] = 100 * of[HIDDEN]
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
        assert said in " ".join(STUDY.split()), said


def test_the_controls_figures_are_those_of_their_records():
    def error(row):
        mean, error = statistics.mean_and_error(seeds(row))
        return f"{mean:.1f} ± {error:.1f}"

    mean = lambda *of, digits=1: f"{np.mean(seeds(*of)):.{digits}f}"
    nll = lambda row: mean(row, "nll", digits=2)
    nll100 = lambda row: mean(row, "nll", 100, digits=2)
    chance = lambda a, b, *of, digits=2: f"p = {difference(seeds(a, *of), seeds(b, *of))[1]:.{digits}f}"
    paired = lambda a, b, key=HIDDEN: statistics.mean_and_error(np.subtract(seeds(a, key), seeds(b, key)).tolist())
    gain = lambda row: f"{np.mean(seeds('baseline', HIDDEN)) - np.mean(seeds(row, HIDDEN)):.1f}"
    rows = sa, hard, crop, constant = "sa", "baseline", "soft_crop", "soft_crop_label_smoothing"
    to_the_end, hard_targets, smoothed = (f"{row}_cropped_to_the_end" for row in ("sa", "soft_crop", "smoothing"))
    first = lambda row, key="top1_error": f"{seeds(row, key, 100)[0]:.1f}"
    differ = lambda a, b: " ± ".join(f"{value:.1f}" for value in paired(a, b))
    assert (
        all(len(seeds(row)) == 3 for row in (*rows, to_the_end, hard_targets, smoothed))
        and len(seeds(hard, epochs=100)) == 1
    )
    readme, study = (" ".join(text.split()) for text in (README, STUDY))
    for said in (
        f"underfits: {mean(sa, 'top1_error', 100)} % error against {mean(hard, 'top1_error', 100)} % (one seed) for",
        f"SA has {error(sa)} % and the hard crop {error(hard)} %: within noise",
        f"{error(sa)} % against {error(constant)} % ({chance(sa, constant)}); after 100 the two were alike",
        f"Against hard targets, {error(crop)} %, it is {chance(sa, crop)}",
        f"ECE is {mean(sa, 'ece')} % with it, {mean(crop, 'ece')} % with the same crop and hard targets, "
        f"{mean(hard, 'ece')} % with the hard crop; NLL {nll(sa)}, {nll(crop)} and {nll(hard)}.",
        f"calibrates as well: {mean(constant, 'ece')} %, and {nll(constant)}.",
        f"SA gains {gain(sa)} points on the hard crop ({chance(sa, hard, HIDDEN)}). With the crop on to the last epoch",
        f"code does) it gains {gain(to_the_end)}, and the same crop with hard targets {gain(hard_targets)}.",
        f"SA's ECE is {mean(to_the_end, 'ece')} %, hard targets' {mean(hard_targets, 'ece')} %.",
    ):
        assert said in readme, said
    for said in (
        f"{error(sa)} % against {error(constant)} with",
        f"ECE {mean(sa, 'ece')} % for SA, {mean(crop, 'ece')} for the same crop with hard targets, {mean(hard, 'ece')}",
        f"SA errs {gain(sa)} ± 1.3 points less than the hard crop ({chance(sa, hard, HIDDEN)}), and constant",
        f"smoothing under the same crop {gain(constant)} ± 1.3 (p = 0.005); between these two it is 1.2 ± 0.5 in "
        f"favour of the constant ({chance(sa, constant, HIDDEN)})",
        f"by {differ(sa, to_the_end)} (SA), {differ(crop, hard_targets)} (hard targets) and "
        f"{differ(constant, smoothed)} points (constant) at 40 %",
        f"hard targets gain {gain(hard_targets)} ± 1.5 points at 40 % hidden, constant smoothing {gain(smoothed)} "
        f"± 1.3 and SA {gain(to_the_end)} ± 1.3; SA errs 3.8 ± 0.8 more than hard targets "
        f"({chance(to_the_end, hard_targets, HIDDEN)})",
        f"against the constant error 2.0 ± 0.6 ({chance(to_the_end, smoothed)})",
        f"the end SA errs on {first(to_the_end)} % instead of {first(sa)}, and on {first(to_the_end, HIDDEN)} instead "
        f"of {first(sa, HIDDEN)} % with 40 % hidden, "
        f"at an ECE of {first(to_the_end, 'ece')} instead of {first(sa, 'ece')} %",
        f"ECE {mean('noise', 'ece', 100)} for {mean('noise_hard', 'ece', 100)}, NLL {nll100('noise')} for "
        f"{nll100('noise_hard')}, {chance('noise', 'noise_hard', 'nll', 100, digits=3)})",
        " errs on " + ", ".join(f"{value:.1f}" for value in seeds(crop, HIDDEN)[:2]) + " and ",
    ):
        assert said in study, said


def test_the_answers_where_the_paper_is_silent_are_those_of_their_records():
    sa, of_100 = "sa", partial(seeds, epochs=100)
    mean = lambda row, key, digits=1: f"{np.mean(of_100(row, key)):.{digits}f}"
    chance = lambda row, key, digits=2: f"p = {difference(of_100(row, key), of_100(sa, key))[1]:.{digits}f}"
    more = lambda row, key: difference(of_100(row, key), of_100(sa, key))[0]
    study = " ".join(STUDY.split())
    for said in (
        f"does worse here**: {more('sa_sigma0.375_k2', 'top1_error')} points of error "
        f"({chance('sa_sigma0.375_k2', 'top1_error')}), NLL {mean('sa_sigma0.375_k2', 'nll', 2)} for "
        f"{mean(sa, 'nll', 2)} ({chance('sa_sigma0.375_k2', 'nll')}), ECE {mean('sa_sigma0.375_k2', 'ece')} for "
        f"{mean(sa, 'ece')} % ({chance('sa_sigma0.375_k2', 'ece', 3)})",
        f"colour costs {more('sa_black', 'top1_error')} points of error** (three seeds, "
        f"{chance('sa_black', 'top1_error', 3)}), and {more('sa_black', HIDDEN)} with 40 % hidden by "
        f"the mean colour ({chance('sa_black', HIDDEN, 3)})",
        f"is within noise: {of_100('sa_fill_noise')[0]:.1f} %",
        f"SA itself has {' ± '.join(f'{value:.2f}' for value in statistics.mean_and_error(of_100(sa)))} % "
        f"({min(of_100(sa)):.1f} to {max(of_100(sa)):.1f} by its seeds)",
        f"({chance('sa_normalized', 'top1_error')} and "
        f"{chance('sa_nearest', 'top1_error').removeprefix('p = ')} in error). With 40 % hidden both err "
        f"{np.mean(of_100('sa_normalized', HIDDEN)) - np.mean(of_100(sa, HIDDEN)):.1f} points more than SA "
        f"({chance('sa_normalized', HIDDEN)} and "
        f"{chance('sa_nearest', HIDDEN).removeprefix('p = ')}",
    ):
        assert said in study, said


def test_the_figures_of_500_images_are_those_of_their_records():
    seeds_of_500 = partial(seeds, epochs=1000, per_class=50)
    hard, uncropped, soft = "baseline", "sa", "sa_cropped_to_the_end"
    crop = "soft_crop_cropped_to_the_end"
    error = "top1_error"
    shown = lambda row, key=error: "{:.1f} ± {:.1f}".format(*statistics.mean_and_error(seeds_of_500(row, key)))
    mean = lambda row, key, digits=1: f"{np.mean(seeds_of_500(row, key)):.{digits}f}"

    def gain(row, key, than=hard):
        """How much less than another row's, with the standard error of the difference; and by which chance."""
        return difference(seeds_of_500(than, key), seeds_of_500(row, key))

    readme, study = (" ".join(text.split()) for text in (README, STUDY))
    (in_error, by_chance), (in_hidden, hidden_by_chance) = gain(soft, error), gain(soft, HIDDEN)
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
    (takes, take_by_chance) = gain(crop, HIDDEN, soft)
    constant = [seeds_of_500("smoothing_cropped_to_the_end", key)[0] for key in (error, "nll", "ece")]
    for said in (
        f"the end errs on {constant[0]:.1f} % (one seed, the first), "
        f"{constant[0] - np.mean(seeds_of_500(soft)):.1f} points more than SA, with an NLL of {constant[1]:.2f} for "
        f"{mean(soft, 'nll', 2)} and an ECE of {constant[2]:.1f} for {mean(soft, 'ece')} %",
        f"hard targets has an ECE of {mean(crop, 'ece')} % and an NLL of {mean(crop, 'nll', 2)}: far worse than the "
        f"hard crop's {mean(hard, 'ece')} % and {mean(hard, 'nll', 2)}",
        f"the crop has {shown(crop)} % ({by_seed} and {seeds_of_500(crop, error)[2]:.1f} by its seeds), within noise "
        f"of the hard crop (p = {gain(crop, error)[1]:.2f}) and of SA (p = {gain(crop, error, soft)[1]:.2f})",
        f"err on {shown(crop, HIDDEN)} %, which is {takes} points less than SA (p = {take_by_chance:.3f})",
        f"by {in_error} points (p = {by_chance:.3f})**",
        f"NLL falls from {mean(hard, 'nll', 2)} to {mean(soft, 'nll', 2)}, ECE from {mean(hard, 'ece')} to "
        f"{mean(soft, 'ece')} %, and with 40 % hidden the error by {in_hidden} points (p = {hidden_by_chance:.2f})",
        f"it does not** ({mean(uncropped, error)} %, within noise), but is far better calibrated: ECE "
        f"{mean(uncropped, 'ece')} %, NLL {mean(uncropped, 'nll', 2)}. With 40 % hidden it still gains "
        f"{gain(uncropped, HIDDEN)[0]} points (p = {gain(uncropped, HIDDEN)[1]:.2f})",
    ):
        assert said in study, said
