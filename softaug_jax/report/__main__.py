"""Compares finished runs: python -m softaug_jax.report RUNS... [--out=DIR] [--format=text|markdown|csv]

With --page=FILE.html it writes one page of the paper's tables and figures with ours beside them, and FILE.md.
With --table=table1|table2|table3|table4|barlow_twins|extras it sets them beside the paper's numbers, and with
--others gives rows to methods that the table lacks. Both from a checkout.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, add_selection, as_command, folder
from softaug_jax.report.page import write_page
from softaug_jax.report.paper_table import PaperTable, paper_table
from softaug_jax.report.run_figures import write_comparison_figures
from softaug_jax.report.runs import Run, find
from softaug_jax.report.table import Table, comparison


@as_command
def main(words: list[str]) -> int:
    """Prints the table, writes it and the figures to --out, and returns the exit code."""
    parser = Parser(prog="python -m softaug_jax.report", description="Compares finished runs.")
    parser.add_argument("runs", nargs="+", metavar="RUNS", help="workdirs, or folders that hold workdirs")
    parser.add_argument(
        "--table", help="table1, table2, table3, table4, barlow_twins or extras: set them beside the paper's numbers"
    )
    parser.add_argument("--others", action="store_true", help="with --table: rows for other methods, too")
    parser.add_argument("--page", type=folder, help="FILE.html: all tables and figures, self-contained, and FILE.md")
    add_selection(parser)
    parser.add_argument("--out", type=folder, help="folder for the table as .md and .csv; and without --table, figures")
    parser.add_argument("--format", choices=("text", "markdown", "csv"), default="text", help="of the printed table")
    args = parser.parse_args(words)
    if args.page is None:
        _report(args)
    else:
        _write_page(args, f"python -m softaug_jax.report {shlex.join(words)}")
    return 0


def _write_page(args: argparse.Namespace, command: str) -> None:
    printed = None if args.format == "text" else args.format
    for option, value in (("--table", args.table), ("--out", args.out), ("--format", printed)):
        if value is not None:
            raise UsageError(f"{option}={value} is not for --page, which has all tables and figures: leave it out.")
    written = write_page(args.page, find(args.runs), args.dataset, args.model, command)
    print(f"Wrote {', '.join(path.name for path in written)} and figures/ to {args.page.parent}.")


def _report(args: argparse.Namespace) -> None:
    runs = find(args.runs)
    finished = [run for run in runs if run.summary is not None]
    for run in runs:
        if run.summary is None:
            print(f"{run.workdir} is not finished: left out.", file=sys.stderr)
    if args.table is None:
        for option, values in (("--dataset", args.dataset), ("--model", args.model)):
            if values:
                raise UsageError(f"{option}={values[0]} is for --table and --page: add one, as in --table=table2.")
        if args.others:
            raise UsageError("--others is for --table: without it every method has its row.")
        if not finished:
            raise UsageError("No run is finished, so there is nothing to compare.")
        _give(comparison(finished), "table", args, finished)
        return
    table = paper_table(args.table, finished, args.dataset, args.model, others=args.others)
    for stray in table.strays:
        print(f"{stray} Left out.", file=sys.stderr)
    _give(table, args.table, args, [])


def _give(table: Table | PaperTable, name: str, args: argparse.Namespace, to_draw: Sequence[Run]) -> None:
    """Prints the table, and writes it to --out, with figures of the runs `to_draw`."""
    print({"text": table.text, "markdown": table.markdown, "csv": table.csv}[args.format](), end="")
    out = args.out
    if out is None:
        return
    written = [out / f"{name}.md", out / f"{name}.csv"]
    try:
        out.mkdir(parents=True, exist_ok=True)
        written[0].write_text(table.markdown())
        written[1].write_text(table.csv())
        written += write_comparison_figures(out, to_draw)
    except OSError as error:
        raise UsageError(f"--out={out} can't be written: {error.strerror}. Choose another folder.") from None
    said = f"Wrote {', '.join(path.name for path in written)} to {out}."
    print(said, file=sys.stderr if args.format == "csv" else sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
