"""`results.csv`: every measurement of every member, one a row, for whatever people like to read tables with."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from expertgen.errors import TrainingError
from expertgen.runs.files import write_text

COLUMNS: tuple[str, ...] = (
    "task",
    "method",
    "seed",
    "source",
    "cpu",
    "point",
    "env_steps",
    "seconds",
    "measure",
    "value",
    "episodes",
)

PointName = Literal["curve", "validation", "final", "motion"]
Outcome = Literal["return", "success"]
Motion = Literal["jerk", "jerk_ratio", "dtw", "saturation", "noise_norm"]


@dataclass(frozen=True)
class Point:
    """One measurement of a run.

    Attributes:
        point: `"final"`, the value of the run, of which there is exactly one; `"curve"`, the course of learning;
            `"validation"`, what checkpoints were chosen by; `"motion"`, how the final policy moves, one a measure.
        env_steps: simulator steps of learning so far, validations included.
        seconds: wall time of learning so far [s].
        measure: what `value` is: an outcome or, of a motion, `"jerk"`, `"dtw"` and `"saturation"` as in `Evaluation`,
            `"jerk_ratio"` to the prior of the same run, or `"noise_norm"`, root mean square of the noise chosen at the
            end of learning.
        value: success rate, mean return, or what the measure says.
        episodes: how many it is the mean of; None if that is not known.
    """

    point: PointName
    env_steps: int
    seconds: float
    measure: Outcome | Motion
    value: float
    episodes: int | None


@dataclass(frozen=True)
class Origin:
    """What a run was made by. Another processor, or other code, need not give the same numbers.

    Attributes:
        source: digest of the package's source code.
        cpu: name of the processor.
    """

    source: str
    cpu: str


def check_points(points: Iterable[Point]) -> Point:
    """Returns the final point of a run.

    Raises:
        TrainingError: if there is not exactly one, or a number is not finite, or a name unknown.
    """
    points = list(points)
    for point in points:
        measures = get_args(Motion if point.point == "motion" else Outcome)
        known = point.point in get_args(PointName) and point.measure in measures
        if not known or not math.isfinite(point.value) or not math.isfinite(point.seconds):
            raise TrainingError(f"the run measured something that is no result: {point}")
    final = [point for point in points if point.point == "final"]
    if len(final) != 1:
        raise TrainingError(f"the run has {len(final)} final values; there must be exactly one")
    return final[0]


def cells_of(names: tuple[str, str, str], origin: Origin, points: Iterable[Point]) -> Iterator[list[str]]:
    """The table's rows of one run, as text.

    Args:
        names: its task, method and seed.
        origin: what it was made by.
        points: what it measured.
    """
    for point in points:
        yield [*names, origin.source, origin.cpu, *map(_cell, vars(point).values())]


def write_table(path: Path, rows: Iterable[tuple[tuple[str, str, str], Origin, Iterable[Point]]]) -> None:
    """Writes the table atomically.

    Args:
        path: the file.
        rows: task, method and seed of each run, what it was made by, and what it measured.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for names, origin, points in rows:
        writer.writerows(cells_of(names, origin, points))
    write_text(path, text.getvalue())


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
