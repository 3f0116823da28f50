"""Adds what suites have measured to one table: runs that several suites have in common are needed only once.

python benchmarks/join.py suites/quick suites/assembly       # to benchmarks/comparisons.csv
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rows import HERE, plain_refusals, read_rows, write_rows

from expertgen.suite.runner import read_standings, read_suite
from expertgen.suite.table import COLUMNS, Point, cells_of

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
    """Adds the finished runs of suites that a table lacks, and returns their names.

    They are read from where they were sealed: what was edited, or is of another version or other settings, is refused.
    """
    rows, added = read_rows(table), []
    for folder in folders:
        known = {tuple(row[name] for name in RUN) for row in rows if row["point"] == "final"}
        for name, standing in read_standings(folder, read_suite(folder)).items():
            member = standing.member
            run = (member.task, member.method, str(member.seed))
            if standing.state == "done" and standing.origin and run not in known:
                points = list(thinned(standing.points))
                rows += [dict(zip(COLUMNS, cells, strict=True)) for cells in cells_of(run, standing.origin, points)]
                added.append(name)
    write_rows(table, rows)
    return added


def thinned(points: Iterable[Point]) -> Iterator[Point]:
    """The points of a run, with fewer of its learning curve."""
    kept = -CURVE_STEPS
    for point in points:
        if point.point != "curve" or point.env_steps >= kept + CURVE_STEPS:
            kept = point.env_steps if point.point == "curve" else kept
            yield point


if __name__ == "__main__":
    with plain_refusals():
        options = tyro.cli(Options)
        print(*join(options.suites, options.table) or ["nothing new"], sep="\n")
