"""Compares finished runs: python -m softaug_jax.report RUNS... [--out=DIR] [--format=text|markdown|csv]"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from softaug_jax.checks import UsageError
from softaug_jax.report.run_figures import write_comparison_figures
from softaug_jax.report.runs import find
from softaug_jax.report.table import comparison


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table, writes it and the figures to --out, and returns the exit code."""
    parser = _Parser(prog="python -m softaug_jax.report", description="Compares finished runs.")
    parser.add_argument("runs", nargs="+", metavar="RUNS", help="workdirs, or folders that hold workdirs")
    parser.add_argument("--out", type=Path, help="folder for table.md, table.csv and the figures")
    parser.add_argument("--format", choices=("text", "markdown", "csv"), default="text", help="of the printed table")
    args = parser.parse_args(argv)
    try:
        _report(args.runs, args.out, args.format)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _report(paths: Sequence[str], out: Path | None, form: str) -> None:
    runs = find(paths)
    unfinished = [run for run in runs if run.summary is None]
    finished = [run for run in runs if run.summary is not None]
    for run in unfinished:
        print(f"{run.workdir} is not finished: left out.", file=sys.stderr)
    if not finished:
        raise UsageError("No run is finished, so there is nothing to compare.")
    table = comparison(finished)
    print({"text": table.text, "markdown": table.markdown, "csv": table.csv}[form](), end="")
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "table.md").write_text(table.markdown())
        (out / "table.csv").write_text(table.csv())
        written = write_comparison_figures(out, finished)
    except OSError as error:
        raise UsageError(f"--out={out} can't be written: {error.strerror}. Choose another folder.") from None
    print(f"Wrote {', '.join(path.name for path in [out / 'table.md', out / 'table.csv', *written])} to {out}.")


if __name__ == "__main__":
    sys.exit(main())
