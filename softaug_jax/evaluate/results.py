"""What a test of finished runs leaves in its workdir: a record a network, tables, figures."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from softaug_jax.checks import UsageError
from softaug_jax.evaluate.networks import Group, Source
from softaug_jax.paths import path_of
from softaug_jax.report.table import Table, seed_notes
from softaug_jax.run_files import write_json
from softaug_jax.train.summary import provenance


class Results:
    """The folder of one test."""

    def __init__(self, workdir: str | Path, config: Any):
        """Makes the folder.

        Raises:
          UsageError: if it is the workdir of a run or of an earlier test, which stays as it is, or can't be written.
        """
        self.path = path_of(workdir)
        self._settings = json.loads(json.dumps(config.to_dict()))
        self._records = 0
        if (self.path / "config.json").exists():
            raise UsageError(f"--workdir={workdir} is that of a run, which stays as it is. Name another folder.")
        try:
            # Records that another test left would count as this one's, and its tables and figures be lost.
            if any((self.path / "networks").glob("*.json")):
                raise UsageError(
                    f"--workdir={workdir} has an earlier test's records. Name another folder, or delete it."
                )
            for folder in ("networks", "figures"):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--workdir={workdir} can't be written: {error.strerror}. Choose another folder."
            ) from None

    def record(self, group: Group, sources: Sequence[Source], figures: dict[str, Any], label: str = "") -> None:
        """Writes one network's figures, or those of an ensemble of several, and what they were measured with."""
        label = label or group.label
        seeds = [source.seed for source in sources]
        name = "-".join([f"{self._records:02d}", re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:60]])
        known = [str(seed) for seed in seeds if seed is not None]
        self._records += 1
        content = {
            "label": label,
            "workdir" if len(sources) == 1 else "workdirs": _one([str(source.path) for source in sources]),
            "seed" if len(sources) == 1 else "seeds": _one(seeds),
            "figures": figures,
            "config": sources[0].config,
            "test": self._settings,
            **provenance(),
        }
        write_json(self.path / "networks" / f"{name}{'-seed' + '_'.join(known) if known else ''}.json", content)

    def table(self, name: str, table: Table, title: str) -> None:
        """Prints a table, and writes it as Markdown and as CSV."""
        print(f"\n{title}\n{table.text()}", end="")
        (self.path / f"{name}.md").write_text(f"**{title}**\n\n{table.markdown()}")
        (self.path / f"{name}.csv").write_text(table.csv())

    def figure(self, name: str) -> Path:
        """The path of a figure to draw."""
        return self.path / "figures" / f"{name}.png"

    def done(self) -> None:
        """Says where everything is."""
        print(f"\nTables, figures and {self._records} records are in {self.path}.")


def about_seeds(groups: Sequence[Group]) -> list[str]:
    """Sentences on what ± means, and on seeds that occur twice in a group; none where each has one network."""
    rows = [(group.label, [source.seed for source in group.sources]) for group in groups]
    return seed_notes("networks", rows)


def _one(values: Sequence[Any]) -> Any:
    """The only one of the values, or all."""
    return values[0] if len(values) == 1 else list(values)
