"""What a program did when it was tried: how often it succeeded, why it failed, and where its episodes stalled."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from expertgen.demos.store import Demo
from expertgen.tasks.spec import ObservationField, TaskSpec

ROWS = 12
"""Control steps of an episode that are shown."""

WIDEST = 7
"""Columns of a field that are shown."""

MOVED = 0.001
"""How far something goes in a control step when it moves [m]."""


@dataclass(frozen=True)
class Distance:
    """How two things came near to each other, as medians over episodes.

    Attributes:
        first: name of a position field, or of a thing.
        second: name of another one.
        start: distance at the start [m].
        least: the smallest distance [m].
        least_step: when that was [control steps].
        end: distance at the end [m].
    """

    first: str
    second: str
    start: float
    least: float
    least_step: float
    end: float


@dataclass(frozen=True)
class Motion:
    """How far something went, as medians over episodes.

    Attributes:
        field: name of a position field.
        farthest: the largest distance from its start [m].
        last_step: the last control step in which it moved by more than 1 mm, -1 for never.
    """

    field: str
    farthest: float
    last_step: float


@dataclass(frozen=True)
class Trial:
    """How a program did.

    Attributes:
        episodes: how many were played, those that failed at their first step included.
        successes: how many succeeded.
        low: lower end of the 95% interval of success.
        high: its upper end.
        steps_to_success: median length of the successful episodes [control steps], None without one.
        failures: why programs could not go on → in how many episodes.
        distances: of the failed episodes.
        motions: of the failed episodes.
        traces: title → an episode in numbers, as a table.
    """

    episodes: int
    successes: int
    low: float
    high: float
    steps_to_success: float | None
    failures: dict[str, int]
    distances: tuple[Distance, ...]
    motions: tuple[Motion, ...]
    traces: dict[str, str]

    @property
    def success(self) -> float:
        """Share of episodes that succeed."""
        return self.successes / self.episodes

    def as_json(self) -> dict[str, Any]:
        """As plain values; of a trace, a line is one text."""
        traces = {title: table.splitlines() for title, table in self.traces.items()}
        return {"success": round(self.success, 4), **asdict(self), "traces": traces}


def trial_of(
    task: TaskSpec,
    demos: Sequence[Demo],
    failures: Sequence[str],
    episodes: int,
    interval: tuple[float, float],
) -> Trial:
    """Looks at the episodes of a trial.

    Args:
        task: what was to be done.
        demos: the episodes that were recorded.
        failures: for each episode in which the program could not go on, why.
        episodes: how many were played.
        interval: 95% interval of success.
    """
    good = [demo for demo in demos if demo.success]
    bad = [demo for demo in demos if not demo.success]
    traces = {}
    if bad:
        traces["A failed episode"] = trace(task, sorted(bad, key=lambda demo: len(demo.actions))[len(bad) // 2])
    if good:
        traces["The quickest success"] = trace(task, min(good, key=lambda demo: len(demo.actions)))
    return Trial(
        episodes=episodes,
        successes=len(good),
        low=round(interval[0], 4),
        high=round(interval[1], 4),
        steps_to_success=float(np.median([len(demo.actions) for demo in good])) if good else None,
        failures=dict(Counter(failures)),
        distances=_distances(task, bad),
        motions=_motions(task, bad),
        traces=traces,
    )


def shown_fields(task: TaskSpec) -> list[ObservationField]:
    """Fields that tell where things are now: narrow ones, without those of the control step before."""
    return [f for f in task.fields if not f.name.startswith("previous_") and f.stop - f.start <= WIDEST]


def trace(task: TaskSpec, demo: Demo) -> str:
    """An episode in a dozen rows of numbers: what was observed and what was done; constant fields stand above them."""
    constant, varying = [], []
    for field in shown_fields(task):
        values = demo.observations[:, field.columns]
        (varying if np.ptp(values, axis=0).max() > 1e-4 else constant).append(field)
    steps = np.unique(np.linspace(0, len(demo.actions) - 1, ROWS).round().astype(int))
    lines = [f"{field.name} = {numbers(demo.observations[0, field.columns])}" for field in constant]
    lines.append(" | ".join(["step", *(field.name for field in varying), "action"]))
    for step in steps.tolist():
        row = [numbers(demo.observations[step, field.columns]) for field in varying]
        lines.append(" | ".join([f"{step:4}", *row, numbers(demo.actions[step], 2)]))
    return "\n".join(lines)


def numbers(values: np.ndarray, digits: int = 3) -> str:
    """Numbers on one line, e.g. `"0.006 0.600 -0.195"`."""
    return " ".join(f"{value:.{digits}f}" for value in values.tolist())


def _positions(task: TaskSpec) -> list[ObservationField]:
    return [f for f in shown_fields(task) if f.name.endswith("position") and f.unit == "m"]


def _distances(task: TaskSpec, demos: Sequence[Demo]) -> tuple[Distance, ...]:
    found = []
    for first, second in itertools.combinations(_positions(task), 2):
        if not demos or first.frame != second.frame or first.stop - first.start != second.stop - second.start:
            continue
        between = [demo.observations[:, first.columns] - demo.observations[:, second.columns] for demo in demos]
        found.append(_distance(first.name, second.name, between))
    return tuple(found) or _relative_distances(task, demos)


def _relative_distances(task: TaskSpec, demos: Sequence[Demo]) -> tuple[Distance, ...]:
    """Of tasks that say no positions, but where things are as seen from others: `palm_from_ball`."""
    found = []
    for field in shown_fields(task) if demos else []:
        first, between, second = field.name.partition("_from_")
        if between and field.unit == "m":
            found.append(_distance(first, second, [demo.observations[:, field.columns] for demo in demos]))
    return tuple(found)


def _distance(first: str, second: str, apart: list[np.ndarray]) -> Distance:
    """From what lies between two things in each episode, `[T, 3]` [m]."""
    lengths = [np.linalg.norm(between, axis=1) for between in apart]
    values = np.median([[d[0], d.min(), d.argmin(), d[-1]] for d in lengths], axis=0)
    start, least, step, end = np.round(values, 4).tolist()
    return Distance(first, second, start, least, step, end)


def _motions(task: TaskSpec, demos: Sequence[Demo]) -> tuple[Motion, ...]:
    found = []
    for field in _positions(task) if demos else []:
        rows = []
        for demo in demos:
            path = demo.observations[:, field.columns]
            moving = np.flatnonzero(np.linalg.norm(np.diff(path, axis=0), axis=1) > MOVED)
            rows.append([np.linalg.norm(path - path[0], axis=1).max(), moving[-1] if moving.size else -1])
        farthest, last = np.round(np.median(rows, axis=0), 4).tolist()
        if farthest > 0:
            found.append(Motion(field.name, farthest, last))
    return tuple(found)
