"""Adds what suites have measured to one table: runs that several suites have in common are needed only once.

python benchmarks/join.py suites/quick suites/assembly       # to benchmarks/comparisons.csv
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rows import HERE, read_rows, write_rows

RUN = ("task", "method", "seed")
"""What makes a run. A method must mean the same in all suites whose tables are joined."""

CURVE_STEPS = 8000
"""Simulator steps between two points of a learning curve that are kept, at least."""


@dataclass(frozen=True)
class Options:
    """What is added to what."""

    suites: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of suites, which need not be finished."""
    table: Path = HERE / "comparisons.csv"
    """The table that rows are added to. Runs that it has are left alone."""


def join(folders: tuple[Path, ...], table: Path) -> list[str]:
    """Adds the finished runs of suites that a table lacks, and returns their names."""
    missing = [str(folder) for folder in folders if not (folder / "results.csv").exists()]
    if missing:
        raise SystemExit(f"no results.csv in {', '.join(missing)}; give folders of suites with finished runs")
    added = []
    rows = read_rows(table)
    for folder in folders:
        known = {tuple(row[name] for name in RUN) for row in rows}
        kept: dict[tuple[str, ...], int] = {}
        for row in read_rows(folder / "results.csv"):
            run, steps = tuple(row[name] for name in RUN), int(row["env_steps"])
            if run in known or (row["point"] == "curve" and steps < kept.get(run, -CURVE_STEPS) + CURVE_STEPS):
                continue
            if row["point"] == "curve":
                kept[run] = steps
            rows.append(row)
            added.append("/".join(run))
    write_rows(table, rows)
    return list(dict.fromkeys(added))


if __name__ == "__main__":
    options = tyro.cli(Options)
    print(*join(options.suites, options.table) or ["nothing new"], sep="\n")
