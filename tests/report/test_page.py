"""The page of tables and figures: its markup, that it needs nothing else, and that its cells are the tables'."""

import base64
import io
import json
import re
import shlex
from html.parser import HTMLParser
from math import inf
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from benchmarks import study
from softaug_jax.report import find, page, page_figures
from softaug_jax.report.__main__ import main
from softaug_jax.report.document import Picture
from softaug_jax.report.paper_table import PaperTable, paper_table
from softaug_jax.report.placing import Stray
from tests.report.synthetic import METHODS, make_run, put

ROOT = Path(__file__).parents[2]
VOID = {"meta", "img", "br", "link", "hr", "input"}
ODD = '<b>bold</b> & "quoted" | piped'
ASKED = ["--dataset=cifar10", "--model=resnet18"]


class Parsed(HTMLParser):
    """Elements in order, each with its attributes and the text right within it; fails where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs)
        element = {"tag": tag, "text": "", "inside": [each["tag"] for each in self.open], **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop()["tag"] == tag

    def handle_data(self, data):
        if self.open:
            self.open[-1]["text"] += data

    def all(self, *tags):
        return [element for element in self.elements if element["tag"] in tags]

    def tables(self):
        """By caption, rows of text."""
        found = {}
        for element in self.elements:
            if element["tag"] == "caption":
                rows = found.setdefault(element["text"], [])
            elif element["tag"] == "tr":
                rows.append([])
            elif element["tag"] in ("th", "td"):
                rows[-1].append(element["text"])
        return found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with runs/ and the page of its runs on CIFAR-10 with ResNet-18."""
    folder = tmp_path_factory.mktemp("page")
    runs = folder / "runs"
    for seed, error in enumerate((0.044, 0.046)):
        put(runs / f"hard{seed}", "cifar10_baseline", f"seed={seed}", error, method="hard crop")
    put(runs / "soft", "cifar10_sa", "", 0.036)
    put(runs / "sigma", "cifar10_sa", "", 0.041, {"augment.sigma": 0.1})
    put(runs / "<b>", "cifar10_sa", "policy=trivialaugment", 0.03, {"name": "<b>"}, method=ODD)
    put(runs / "under_way", "cifar10_sa", "seed=1", finished=False)
    make_run(runs / "digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main([str(runs), f"--page={folder / 'page.html'}", *ASKED]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def parsed(written):
    return Parsed((written / "page.html").read_text(encoding="utf-8"))


def test_it_is_well_formed_and_its_links_lead_somewhere(written, parsed):
    assert (written / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>\n")
    assert [parsed.elements[0][key] for key in ("tag", "lang")] == ["html", "en"]
    names = [element["id"] for element in parsed.elements if "id" in element]
    links = [element["href"] for element in parsed.all("a")]
    assert len(set(names)) == len(names) and links == [f"#{name}" for name in names]
    assert [e["text"].partition(":")[0] for e in parsed.all("h2")] == [
        *("Table 1", "Table 2", "Table 3", "Table 4", "Figure 2", "Figure 3", "Figure 5"),
        *("Reliability diagrams", "Learning curves", "Runs", "Left out"),
    ]
    (style,) = parsed.all("style")
    assert "prefers-color-scheme: dark" in style["text"]
    assert "width=device-width" in next(e for e in parsed.all("meta") if e.get("name") == "viewport")["content"]


def test_it_fetches_nothing_and_runs_no_script(parsed):
    assert not parsed.all("script", "link", "iframe", "object", "embed", "base", "form")
    for element in parsed.elements:
        assert not any(name.startswith("on") or name in ("srcset", "style") for name in element)
        assert element.get("src", "data:").startswith("data:") and element.get("href", "#").startswith("#")
    (style,) = parsed.all("style")
    assert "url(" not in style["text"] and "@import" not in style["text"]
    (policy,) = (e["content"] for e in parsed.all("meta") if e.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_every_figure_is_within_it_as_the_png_beside_it(written, parsed):
    files = {path.read_bytes(): path for path in (written / "figures").rglob("*.png")}
    images = parsed.all("img")
    embedded = [
        base64.b64decode(image["src"].removeprefix("data:image/png;base64,"), validate=True) for image in images
    ]
    names = [str(files[png].relative_to(written / "figures")) for png in embedded]
    folder = "cifar10-resnet18-500ep"
    assert names == [
        *("figure2-p_min0.1-p_max1.png", "figure3-0-cifar10-resnet18-500ep.png"),
        *(f"{folder}/occlusion.png", f"{folder}/reliability.png", f"{folder}/learning_curves.png"),
    ]
    for png, image in zip(embedded, images, strict=True):
        with Image.open(io.BytesIO(png)) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert picture.width / 200 * 96 == pytest.approx(int(image["width"]), abs=0.5)  # of 200 dots an inch
            assert picture.height / 200 * 96 == pytest.approx(int(image["height"]), abs=0.5)
            assert np.ptp(np.asarray(picture.convert("L"))) > 100
        assert len(image["alt"]) > 20 and image["inside"][-1] == "figure"
    assert len(parsed.all("figcaption")) == len(images)


def expected_tables(written):
    found = [run for run in find([written / "runs"]) if run.summary is not None]
    expected = {}
    for name in ("table1", "table2", "table3", "table4"):
        for epochs, block in paper_table(name, found, ["cifar10"], ["resnet18"]).blocks.items():
            expected[f"{name}, {epochs} epochs: top-1 error in %"] = [line.cells(epochs) for line in block]
    return expected


def test_cells_are_those_of_the_papers_tables(written, parsed):
    tables = parsed.tables()
    expected = expected_tables(written)
    assert [name for name in tables if name.startswith("table")] == list(expected)
    for name, rows in expected.items():
        shown = [row[:11] for row in tables[name]]  # a twelfth has the paper's ECE
        assert shown[0][:5] == ["Data", "Model", "Method", "Epochs", "Paper"] and shown[1:] == rows
    (baseline, soft, policy, both) = tables["table2, 500 epochs: top-1 error in %"][1:]
    assert baseline[4:7] == ["4.38 ± 0.05", "4.50 ± 0.10", "2"] and soft[4:7] == ["3.51 ± 0.08", "3.60", "1"]
    assert policy[5] == both[5] == "not run"
    assert all(row[5] == "not run" for row in tables["table4, 800 epochs: top-1 error in %"][1:])


def test_tables_have_captions_and_headers_that_say_of_what_they_are(parsed):
    tables = parsed.tables()
    assert len(parsed.all("table")) == len(parsed.all("caption")) == len(tables)
    for cell in parsed.all("th", "td"):
        within = "col" if "thead" in cell["inside"] else "row" if cell["tag"] == "th" else None
        assert cell.get("scope") == within
    for rows in tables.values():
        assert len({len(row) for row in rows}) == 1


def test_what_configs_and_names_contain_is_text(written, parsed):
    assert not parsed.all("b")
    rows = next(rows for name, rows in parsed.tables().items() if name.startswith("Finished runs"))
    (row,) = (row for row in rows if row[0].endswith("<b>"))
    assert row[1] == ODD
    described = [image["alt"].partition("500 epochs: ")[2] for image in parsed.all("img")[2:]]
    soft = "soft crop, target_and_weight"
    assert described == [f"hard crop; {ODD}; {soft}"] * 3  # the baseline first
    markdown = (written / "page.md").read_text(encoding="utf-8")
    outside_commands = re.sub(r"^```.*?^```$", "", markdown, flags=re.M | re.S)
    assert "<" not in outside_commands and '&lt;b&gt;bold&lt;/b&gt; &amp; "quoted" \\| piped |' in outside_commands


def test_markdown_has_the_same_tables_and_its_figures_are_there(written):
    lines = (written / "page.md").read_text(encoding="utf-8").splitlines()
    for name, rows in expected_tables(written).items():
        at = lines.index(name) + 4  # after an empty line, the header and the rule
        assert [line.split(" | ")[:2] for line in lines[at : at + len(rows)]] == [[f"| {r[0]}", r[1]] for r in rows]
        assert [" ".join(line.split(" | ")[2:11]).rstrip(" |") for line in lines[at : at + len(rows)]] == [
            " ".join(row[2:]) for row in rows
        ]
    addresses = [match for line in lines for match in re.findall(r"^!\[.*\]\((.*)\)$", line)]
    assert len(addresses) == 5 and all((written / unquote(address)).is_file() for address in addresses)


def test_what_is_left_out_is_named(written, parsed):
    notes = [element["text"] for element in parsed.all("li")]
    runs = written / "runs"
    assert f"{runs / 'under_way'} is not finished: left out." in notes
    assert f"Of another data set or network than was asked for: {runs / 'digits'}." in notes
    (nearest,) = (note for note in notes if note.startswith("In no table:"))
    assert (
        nearest
        == f"In no table: {runs / 'sigma'} is nearest to Soft Augmentation, but has augment.sigma = 0.1, not 0.3."
    )


def test_the_nearest_row_is_that_of_the_fewest_differences_however_long_the_reason(tmp_path):
    put(tmp_path / "run", "cifar10_sa", fields={"augment.sigma": 0.1})
    (run,) = find([tmp_path])
    reasons = [(inf, "is of others."), (3, "is nearest to A."), (1, "is nearest to B, as a long sentence says.")]
    tables = [PaperTable("", {}, [], [Stray(run.workdir, *reason)]) for reason in reasons]
    notes = page._in_no_table([run], tables)
    assert notes == [f"In no table: {run.workdir} is nearest to B, as a long sentence says."]


def test_without_measurements_each_section_says_so(tmp_path):
    workdir, summary = put(tmp_path / "run", "cifar10_baseline", "", 0.05)
    kept = {k: v for k, v in summary.items() if "/" not in k}
    (workdir / "summary.json").write_text(json.dumps(kept))
    (workdir / "metrics.jsonl").write_text("")
    (run,) = find([workdir])
    page.write_page(tmp_path / "p.html", [run], ["cifar10"], ["resnet18"], "made so")
    parsed = Parsed((tmp_path / "p.html").read_text())
    notes = [element["text"] for element in parsed.all("li", "p")]
    assert len(parsed.all("img")) == 1  # the softening curves
    for words in ("tested under occlusion", "measured its calibration", "logged anything"):
        assert any(note.startswith("None of these runs") and words in note for note in notes)
    (how,) = (note for note in notes if note.startswith("Not run: it takes soft crops"))
    words = shlex.split(how.partition("To run: ")[2])
    assert words[:3] == ["python", "-m", "benchmarks.study"]
    assert study._parser().parse_args(words[3:]).list == "figure3"


def test_a_page_of_no_table_s_data_set_has_its_figures(tmp_path, capsys):
    make_run(tmp_path / "run")
    assert main([str(tmp_path / "run"), f"--page={tmp_path / 'digits.html'}", "--dataset=digits"]) == 0
    assert "Wrote digits.html, digits.md and figures/" in capsys.readouterr().out
    parsed = Parsed((tmp_path / "digits.html").read_text())
    assert sum("none of the data sets" in element["text"] for element in parsed.all("p")) == 4
    assert (tmp_path / "figures" / "digits-resnet18-20ep" / "occlusion.png").is_file()


def test_imagenet_v2_is_of_the_runs_on_imagenet(tmp_path):
    changes = {"v2/top1_error": 0.35, "v2/nll": 1.5, "v2/ece": 0.03}
    workdir, summary = put(tmp_path / "run", "imagenet_baseline", "", 0.23)
    (workdir / "summary.json").write_text(json.dumps(summary | changes))
    page.write_page(tmp_path / "p.html", find([workdir]), ["imagenet_v2"], [], "made so")
    parsed = Parsed((tmp_path / "p.html").read_text())
    (rows,) = (rows for name, rows in parsed.tables().items() if name.startswith("table"))
    (row,) = (row for row in rows if row[:3] == ["imagenet_v2", "resnet50", "Baseline"])
    assert row[4:7] == ["34.97 ± 0.03", "35.00", "1"]


def test_more_methods_than_colours_are_in_several_figures_that_share_the_first(tmp_path):
    for number in range(9):
        changes = {"optimizer": {"learning_rate": number}}
        make_run(tmp_path / f"run{number}", changes=changes, method=f"method {number}")
    groups = [[run] for run in find([tmp_path])]
    batches = page_figures._batches(groups)
    assert [[run.workdir.name[-1] for run in batch] for batch in batches] == [list("0123456"), list("078")]


def test_runs_on_other_data_are_in_figures_of_their_own(tmp_path):
    put(tmp_path / "full")
    for name, fields in (("few", {"data.images_per_class": 100}), ("black", {"evals.occlusion_fill": "black"})):
        put(tmp_path / name, "cifar10_sa", "", 0.3, fields)
    sections = page_figures.compared(tmp_path / "figures", find([tmp_path]))
    beside = {"": "hard crop", "100 images of each class": METHODS["soft"], "black squares": METHODS["soft"]}
    for section in sections:
        pictures = [part for part in section.parts if isinstance(part, Picture)]
        assert {picture.caption.partition("500 epochs")[2].removeprefix(", ") for picture in pictures} == beside.keys()
        for picture in pictures:
            words = picture.caption.partition("500 epochs")[2].removeprefix(", ")
            assert picture.alternative == f"{picture.caption}: {beside[words]}"
            assert picture.path.parent.name == f"cifar10-resnet18-500ep-{words}".replace(" ", "_").rstrip("-")
            assert picture.path.is_file()


def test_bad_input_is_one_line_and_exit_code_2(written, tmp_path, capsys):
    runs = str(written / "runs" / "soft")
    (tmp_path / "file").write_text("")
    for options, words in (
        ([f"--page={tmp_path / 'page.pdf'}"], "must end in .html"),
        ([f"--page={tmp_path / 'page.html'}", "--table=table2"], "--table=table2 is not for --page"),
        ([f"--page={tmp_path / 'page.html'}", f"--out={tmp_path}"], "is not for --page"),
        ([f"--page={tmp_path / 'page.html'}", "--format=csv"], "--format=csv is not for --page"),
        ([f"--page={tmp_path / 'page.html'}", "--dataset=mnist"], "--dataset=mnist is in no table and of no run"),
        ([f"--page={tmp_path / 'file' / 'page.html'}"], "can't be written"),
    ):
        assert main([runs, *options]) == 2
        printed = capsys.readouterr()
        assert words in printed.err and len(printed.err.splitlines()) == 1 and printed.out == ""
    assert not (tmp_path / "page.html").exists()
