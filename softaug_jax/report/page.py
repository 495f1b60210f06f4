"""One page of results: the paper's tables and figures beside ours, from finished runs, as HTML and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from softaug_jax import commands
from softaug_jax.checks import UsageError
from softaug_jax.report import layout, page_figures, page_html, page_markdown
from softaug_jax.report.document import Cells, Commands, Document, Notes, Part, Section
from softaug_jax.report.paper_table import LEFT, PaperTable, paper_table
from softaug_jax.report.runs import Run

TABLES = {
    "table1": "Table 1: other methods, ResNet-18",
    "table2": "Table 2: Soft Augmentation and RandAugment",
    "table3": "Table 3: calibration, WideResNet-28-10",
    "table4": "Table 4: self-supervised, SimSiam",
}
OTHER_TABLES = ("extras", "barlow_twins")
RUNS_HEADER = ("Run", "Method", "Data", "Model", "Epochs", "Seed", "Top-1 error %", "NLL", "ECE %")
PROVENANCE_HEADER = ("Devices", "Date", "Commit")


def write_page(
    path: Path, runs: Sequence[Run], datasets: Sequence[str], models: Sequence[str], command: str
) -> list[Path]:
    """Writes the page, the same as Markdown beside it, and its figures into figures/; returns the two pages' paths.

    Args:
      path: of the page, FILE.html.
      runs: finished or not; those that are not are named on it.
      datasets: those that it is of; none: the paper's, and those of the runs.
      models: the networks; none: the paper's, and those of the runs.
      command: that makes the page, to be shown on it.

    Raises:
      UsageError: if the name is no HTML file's, a data set is unknown, this is no checkout, or it can't be written.
    """
    if path.suffix != ".html":
        raise UsageError(f"--page={path} must end in .html.")
    markdown = path.with_suffix(".md")
    try:
        document = _document(path.parent / "figures", runs, datasets, models, command)
        path.write_text(page_html.render(document), encoding="utf-8")
        markdown.write_text(page_markdown.render(document, path.parent), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--page={path} can't be written: {error.strerror}. Choose another folder.") from None
    return [path, markdown]


def _document(
    figures: Path, runs: Sequence[Run], datasets: Sequence[str], models: Sequence[str], command: str
) -> Document:
    """Draws the figures and puts the page together."""
    wanted = [run for run in runs if _is_wanted(run, _trained_on(runs, datasets), models)]
    finished = [run for run in wanted if run.summary is not None]
    tables = {name: _paper_table(name, finished, datasets, models) for name in TABLES}
    finished = _baselines_first(finished, tables)
    opening = (
        "Finished runs beside the figures of Soft Augmentation (Liu et al., CVPR 2023, arXiv:2211.04625). A cell "
        f"without a run says so. Finished runs on the page: {len(finished)}. It is made by:"
    )
    sections = [
        *(_table_section(name, table) for name, table in tables.items()),
        page_figures.softening(figures, finished),
        page_figures.error_reduction(figures, finished),
        *page_figures.compared(figures, finished),
        Section("runs", "Runs", _about_runs(finished)),
        Section("left_out", "Left out", [Notes(_left_out(runs, wanted, tables) or ["Nothing."])]),
    ]
    return Document("Soft Augmentation: our runs beside the paper", [opening, Commands([command])], sections)


def _trained_on(runs: Sequence[Run], datasets: Sequence[str]) -> set[str]:
    """The data sets whose training images the runs that are asked for see: ImageNet's for ImageNet-V2."""
    trained_on = {run.config["dataset"]: {run.config["dataset"]} for run in runs}
    for name in TABLES:
        for cell in commands.cells(name, commands.datasets_of(name)):
            trained_on.setdefault(cell.dataset, set()).add(cell.trained_on or cell.dataset)
    for dataset in datasets:
        if dataset not in trained_on:
            known = ", ".join(sorted(trained_on))
            raise UsageError(f"--dataset={dataset} is in no table and of no run. Choose from {known}.")
    return set().union(*(trained_on[dataset] for dataset in datasets))


def _is_wanted(run: Run, trained_on: set[str], models: Sequence[str]) -> bool:
    return (not trained_on or run.config["dataset"] in trained_on) and (
        not models or run.config["model"]["name"] in models
    )


def _paper_table(name: str, runs: Sequence[Run], datasets: Sequence[str], models: Sequence[str]) -> PaperTable | None:
    """The table on those of the data sets that it has; None if it has none. None asked for: the paper's, and ours."""
    wanted = datasets
    if not wanted:
        papers = [cell.dataset for cell in commands.cells(name)]
        wanted = list(dict.fromkeys([*papers, *(run.config["dataset"] for run in runs)]))
    chosen = [dataset for dataset in wanted if dataset in commands.datasets_of(name)]
    return paper_table(name, runs, chosen, models) if chosen else None


def _baselines_first(runs: Sequence[Run], tables: dict[str, PaperTable | None]) -> list[Run]:
    lines = [line for table in tables.values() if table for block in table.blocks.values() for line in block]
    baselines = {run.workdir for line in lines if line.cell.method == "Baseline" for run in line.runs}
    return sorted(runs, key=lambda run: run.workdir not in baselines)


def _table_section(name: str, table: PaperTable | None) -> Section:
    if table is None:
        return Section(name, TABLES[name], ["It has none of the data sets that were asked for."])
    parts: list[Part] = [Cells(caption, rows, LEFT) for caption, rows in table.tables()]
    return Section(name, TABLES[name], [*parts, Notes(table.notes)])


def _about_runs(runs: Sequence[Run]) -> list[Part]:
    """A list of them, and the commands that made them."""
    if not runs:
        return ["No run is finished."]
    rows = [(*RUNS_HEADER, *PROVENANCE_HEADER), *map(_row, runs)]
    lines = [line for run in runs for line in (f"# {run.workdir}", run.results.get("command", "# not recorded"))]
    caption = "Finished runs; figures are those after the last epoch"
    return [Cells(caption, rows, 4), "The commands that made them:", Commands(lines)]


def _row(run: Run) -> tuple[str, ...]:
    results = run.results
    shown = lambda key, scale, digits: layout.shown((results[key], None) if key in results else None, scale, digits)
    device = f"{results.get('num_devices', 1)} x {results['device']}" if "device" in results else "-"
    return (
        *(str(run.workdir), run.label, run.config["dataset"], run.config["model"]["name"]),
        *(f"{run.config['epochs']:g}", str(run.config["seed"])),
        *(shown("top1_error", 100, 2), shown("nll", 1, 3), shown("ece", 100, 2)),
        *(device, results.get("date", "-"), results.get("commit") or "-"),
    )


def _left_out(runs: Sequence[Run], wanted: Sequence[Run], tables: dict[str, PaperTable | None]) -> list[str]:
    """What is not on the page, or in none of its tables, or not in a figure, and why."""
    notes = [f"{run.workdir} is not finished: left out." for run in wanted if run.summary is None]
    if others := [run for run in runs if run not in wanted]:
        notes.append(f"Of another data set or network than was asked for: {_names(others)}.")
    finished = [run for run in wanted if run.summary is not None]
    notes += _in_no_table(finished, [table for table in tables.values() if table])
    if lacking := [run for run in finished if not run.occlusion()]:
        notes.append(f"Not in Figure 5, since they were not tested under occlusion: {_names(lacking)}.")
    if lacking := [run for run in finished if run.bins() is None]:
        notes.append(f"Without a reliability diagram, since they have no calibration bins: {_names(lacking)}.")
    return notes


def _in_no_table(runs: Sequence[Run], tables: Sequence[PaperTable]) -> list[str]:
    """For each finished run without a row on the page, the table that has one, or else what it is nearest to."""
    notes = []
    strays = [run for run in runs if run.workdir not in _placed(tables)]
    for name in OTHER_TABLES:
        found = _placed([table for table in [_paper_table(name, strays, (), ())] if table])
        if there := [run for run in strays if run.workdir in found]:
            notes.append(f"In none of these tables, but in that of --table={name}: {_names(there)}.")
        strays = [run for run in strays if run.workdir not in found]
    for run in strays:
        reasons = [stray for table in tables for stray in table.strays if stray.workdir == run.workdir]
        notes.append(f"In no table: {min(reasons, key=lambda stray: stray.differences, default=run.workdir)}")
    return notes


def _placed(tables: Sequence[PaperTable]) -> set[Path]:
    """The workdirs of the runs that have a row."""
    lines = [line for table in tables for block in table.blocks.values() for line in block]
    return {run.workdir for line in lines for run in line.runs}


def _names(runs: Sequence[Run]) -> str:
    return ", ".join(str(run.workdir) for run in runs)
