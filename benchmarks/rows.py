"""What these scripts share: rows of the CSV files beside them, and one line for what a user got wrong."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from expertgen.errors import ExpertgenError
from expertgen.evaluation.evaluate import Evaluation
from expertgen.runs.files import write_text

HERE = Path(__file__).parent


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none where it is missing."""
    return list(csv.DictReader(path.open())) if path.exists() else []


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Writes a CSV file anew, atomically; its columns are those of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


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


@contextmanager
def plain_refusals() -> Iterator[None]:
    """What is wrong with a script's input becomes one line instead of a traceback."""
    try:
        yield
    except ExpertgenError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
