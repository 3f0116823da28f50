"""What a person wants to know about demonstrations before training on them: as data, and as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from expertgen.demos.failure import counted
from expertgen.demos.store import DemoSet
from expertgen.tasks.spec import TaskSpec


@dataclass(frozen=True)
class FieldRange:
    """What the values of a field, or of the actions, look like over all steps.

    Attributes:
        name: name of the field.
        columns: number of columns.
        unit: physical unit, empty where the task names none.
        minimum: smallest value of any column.
        maximum: largest value of any column.
        deviation: standard deviation of the column that varies most.
        constant: number of columns that never change.
    """

    name: str
    columns: int
    unit: str
    minimum: float
    maximum: float
    deviation: float
    constant: int


@dataclass(frozen=True)
class Description:
    """A summary of demonstrations.

    Attributes:
        task: id of the task.
        episodes: number of demonstrations.
        steps: control steps of all of them.
        successes: number of those that succeed.
        lengths: shortest, median and longest [control steps].
        success_lengths: the same of those that succeed, or None.
        sources: source → number of demonstrations.
        origins: file in which demonstrations came → number of them; those that were recorded here are not counted.
        weights: weight in the prior's training → number of demonstrations.
        seeds: seeds of the collections, ascending.
        ranges: one row per field, the last one for the actions.
        notes: what reading or importing left out or changed.
        warnings: what will go wrong, or better be known, one line each.
    """

    task: str
    episodes: int
    steps: int
    successes: int
    lengths: tuple[int, float, int]
    success_lengths: tuple[int, float, int] | None
    sources: dict[str, int]
    origins: dict[str, int]
    weights: dict[float, int]
    seeds: tuple[int, ...]
    ranges: tuple[FieldRange, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def __rich__(self) -> Group:
        """What `rich` prints: tables, notes and warnings."""
        facts = Table(title=f"demonstrations of {self.task}", show_header=False, title_justify="left")
        facts.add_column(style="bold")
        facts.add_column()
        facts.add_row("episodes", f"{self.episodes} ({self.steps:,} control steps)")
        facts.add_row("success", f"{self.successes} of {self.episodes} ({self.successes / self.episodes:.1%})")
        facts.add_row("length", _span(self.lengths))
        if self.success_lengths:
            facts.add_row("length of successes", _span(self.success_lengths))
        facts.add_row("source", _counts(self.sources))
        if self.origins:
            facts.add_row("origin", _counts(self.origins))
        if set(self.weights) != {1.0}:
            facts.add_row("weight", _counts({f"{weight:g}": count for weight, count in self.weights.items()}))
        facts.add_row("seed", _listed(self.seeds))
        values = Table("field", "columns", "unit", "min", "max", "deviation", "constant columns")
        for row in self.ranges:
            numbers = (f"{value:.3f}" for value in (row.minimum, row.maximum, row.deviation))
            values.add_row(row.name, str(row.columns), row.unit, *numbers, str(row.constant or ""))
        lines = [f"note: {note}" for note in self.notes] + [f"warning: {warning}" for warning in self.warnings]
        return Group(facts, values, *map(Text, lines))


def describe(demos: DemoSet, task: TaskSpec | None = None) -> Description:
    """Summarizes demonstrations.

    Args:
        demos: the demonstrations.
        task: their task, for units and the time limit; without it those are left out.
    """
    lengths = np.array([len(demo.actions) for demo in demos.demos])
    success = np.array([demo.success for demo in demos.demos])
    units = {field.name: field.unit for field in task.fields} if task else {}
    observations = np.concatenate([demo.observations for demo in demos.demos])
    ranges = [_range(name, units.get(name, ""), observations[:, a:b]) for name, a, b in demos.fields]
    ranges.append(_range("actions", "", np.concatenate([demo.actions for demo in demos.demos])))
    return Description(
        task=demos.task,
        episodes=len(demos),
        steps=int(lengths.sum()),
        successes=demos.successes,
        lengths=_three(lengths),
        success_lengths=_three(lengths[success]) if success.any() else None,
        sources=dict(Counter(demo.source for demo in demos.demos)),
        origins=dict(Counter(demo.origin.rpartition(": ")[0] for demo in demos.demos if demo.origin)),
        weights=dict(Counter(demo.weight for demo in demos.demos)),
        seeds=tuple(sorted({demo.seed for demo in demos.demos})),
        ranges=tuple(ranges),
        notes=demos.notes,
        warnings=tuple(_warnings(demos, lengths, task)),
    )


def _warnings(demos: DemoSet, lengths: np.ndarray, task: TaskSpec | None) -> list[str]:
    warnings = []
    if failures := [demo.failure for demo in demos.demos if demo.failure]:
        warnings.append(
            f"{len(failures)} of {len(demos)} demonstrations end where the program failed: {counted(failures)}"
        )
    if demos.successes == 0:
        warnings.append(
            "no demonstration succeeds: the prior will hardly ever succeed either, and steering can only reinforce "
            "what the prior sometimes does; expect it to learn nothing, or demonstrate better"
        )
    if task and lengths.max() > task.horizon:
        late = int((lengths > task.horizon).sum())
        warnings.append(
            f"{late} demonstrations are longer than the task's time limit of {task.horizon} control steps: "
            "a policy as slow as they are will run out of time"
        )
    return warnings


def _range(name: str, unit: str, values: np.ndarray) -> FieldRange:
    deviation = values.std(axis=0, dtype=np.float64)
    constant = int((np.ptp(values, axis=0) == 0.0).sum())
    extremes = float(values.min()), float(values.max())
    return FieldRange(name, values.shape[1], unit, *extremes, float(deviation.max()), constant)


def _listed(seeds: tuple[int, ...]) -> str:
    """All of a few seeds; of many, which are one for each episode of a person, the ends."""
    return ", ".join(map(str, seeds)) if len(seeds) <= 8 else f"{len(seeds)} from {seeds[0]} to {seeds[-1]}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.items())


def _three(lengths: np.ndarray) -> tuple[int, float, int]:
    return int(lengths.min()), float(np.median(lengths)), int(lengths.max())


def _span(lengths: tuple[int, float, int]) -> str:
    return f"{lengths[0]} to {lengths[2]} control steps, median {lengths[1]:g}"
