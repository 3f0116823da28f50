"""Rows of the CSV files beside these scripts."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from expertgen.evaluation.evaluate import Evaluation

HERE = Path(__file__).parent


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none where it is missing."""
    return list(csv.DictReader(path.open())) if path.exists() else []


def append_row(path: Path, row: Mapping[str, object]) -> None:
    """Adds a row, under a header if the file is new. Several processes may write the same file."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow({name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()})


def rates(**stages: Evaluation) -> dict[str, float]:
    """Success of each stage with its interval, in three columns."""
    return {
        f"{name}{end}": value
        for name, stage in stages.items()
        for end, value in (("", stage.success), ("_low", stage.low), ("_high", stage.high))
    }
