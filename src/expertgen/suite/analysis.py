"""What the page of a suite says in numbers: every statistic it shows, from what members measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np

from expertgen.evaluation.comparison import (
    Scores,
    adjusted_p_values,
    area_under_curve,
    interquartile_mean,
    mean,
    mean_of_tasks_interval,
    performance_profile,
    permutation_p_value,
    probability_of_improvement,
    stratified_bootstrap,
)
from expertgen.evaluation.statistics import wilson_interval
from expertgen.suite.plan import Suite
from expertgen.suite.runner import Standings
from expertgen.suite.table import Motion, Point

_GRID = 100
"""Places at which a curve is averaged over runs."""

_DRAWS = 500
"""Bootstrap draws of a curve, at every place."""

Axis = Literal["env_steps", "seconds"]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval; without one where it cannot be told."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """A line with its 95% band, `[points]` each."""

    x: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class TaskRow:
    """What a method achieved on a task: each run, their mean, and what it took."""

    task: str
    method: str
    measure: str
    values: tuple[float, ...]
    estimate: Estimate
    area: float | None
    env_steps: float
    seconds: float


class Analysis:
    """Statistics of a suite, of the members that are done.

    Whatever is averaged over tasks, or compares methods, is of runs that have a counterpart: all methods have finished
    one of the same seed on the same task. A method is not better because it has been through the easy tasks first.

    Attributes:
        methods: those that have a finished run on any task.
        shared: tasks on which all of these methods have finished one of the same seed: who beats whom is judged there.
        pooled: those of them whose values have a common scale, success or a return with a `scale`: these are averaged.
        alone: names of the finished runs without a counterpart.
    """

    def __init__(self, suite: Suite, standings: Standings) -> None:
        self.suite = suite
        self._runs: dict[tuple[str, str], dict[int, tuple[Point, ...]]] = {}
        self._measures: dict[str, str] = {}
        for standing in standings.values():
            if standing.state == "done":
                member = standing.member
                self._runs.setdefault((member.task, member.method), {})[member.seed] = standing.points
                self._measures[member.task] = standing.final.measure
        self.methods = [method for method in suite.methods if any(method == name for _, name in self._runs)]
        self._common = {
            task: set.intersection(*(set(self._runs.get((task, method), {})) for method in self.methods))
            for task in (suite.tasks if self.methods else ())
        }
        self.shared = [task for task, seeds in self._common.items() if seeds]
        self.pooled = [task for task in self.shared if self._measures[task] == "success" or task in suite.scale]
        self.alone = [
            str(standing.member)
            for standing in standings.values()
            if standing.state == "done" and standing.member.seed not in self._common[standing.member.task]
        ]

    def overall(self, method: str) -> Estimate:
        """Interquartile mean of a method's final scores over the pooled tasks and their runs."""
        return _estimate(interquartile_mean, [self._finals(task, method) for task in self.pooled])

    def average(self, method: str) -> Estimate:
        """Mean over the pooled tasks of a method's mean final score."""
        finals = [self._finals(task, method) for task in self.pooled]
        episodes = [self._episodes(task, method) for task in self.pooled]
        low, high = mean_of_tasks_interval(finals, episodes)
        return _bounded(float(np.mean([runs.mean() for runs in finals])), low, high, None not in episodes)

    def overall_area(self, method: str) -> Estimate | None:
        """Interquartile mean of the areas under its learning curves, likewise; None if a run has no curve."""
        areas = [self.areas(task, method, paired=True) for task in self.pooled]
        return _estimate(interquartile_mean, areas) if areas and all(len(area) for area in areas) else None

    def improvement(self, method: str, other: str) -> Estimate:
        """Probability that a run of a method beats a run of another."""
        pair = [[self._finals(task, name) for task in self.shared] for name in (method, other)]
        return _estimate(probability_of_improvement, *pair)

    def p_value(self, method: str, other: str) -> float:
        """How often chance alone would part any two methods as far as these two, or farther: Holm's, over all pairs."""
        return self._p_values[frozenset((method, other))]

    @cached_property
    def _p_values(self) -> dict[frozenset[str], float]:
        pairs = list(combinations(self.methods, 2))
        finals = {name: [self._finals(task, name) for task in self.shared] for name in self.methods}
        p_values = adjusted_p_values([permutation_p_value(finals[one], finals[other]) for one, other in pairs])
        return dict(zip(map(frozenset, pairs), p_values, strict=True))

    def motion(self, method: str, measure: Motion) -> Estimate | None:
        """Mean of a measure of how a method's final policies move, over its runs on the shared tasks.

        None where a task has no run that was measured so.
        """
        points = [self.points(task, method, "motion", paired=True) for task in self.shared]
        values = [np.array([point.value for point in task if point.measure == measure]) for task in points]
        return _estimate(mean, values) if values and all(map(len, values)) else None

    def profile(self, method: str, thresholds: np.ndarray) -> Curve:
        """Share of a method's runs that score above each threshold."""

        def statistic(scores: Scores) -> np.ndarray:
            return performance_profile(scores, thresholds)

        scores = [self._finals(task, method) for task in self.pooled]
        return Curve(thresholds, statistic(scores), *stratified_bootstrap(statistic, scores, resamples=_DRAWS))

    def rows(self) -> list[TaskRow]:
        """The final table: task by task, method by method; without those that have no finished run."""
        keys = [(task, method) for task in self.suite.tasks for method in self.suite.methods]
        return [self._row(task, method) for task, method in keys if (task, method) in self._runs]

    def curve(self, tasks: Sequence[str], method: str, axis: Axis) -> Curve | None:
        """A method's learning curve: the mean over the runs of one task, the interquartile mean over several tasks.

        Each run's line ends with its final value, and keeps it where others go on. None where no run has a curve.
        """
        lines = [[_line(run, axis) for run in self._of(task, method, paired=len(tasks) > 1)] for task in tasks]
        lines = [[line for line in task if len(line)] for task in lines]
        if not lines or not all(lines):
            return None
        # From where all runs have begun to where the last one ends.
        start = max(line[0, 0] for task in lines for line in task)
        grid = np.linspace(start, max(line[-1, 0] for task in lines for line in task), _GRID)
        scale = [self._scale(task) if len(tasks) > 1 else (0.0, 1.0) for task in tasks]
        heights = [
            np.stack([(np.interp(grid, line[:, 0], line[:, 1]) - low) / (high - low) for line in task])
            for task, (low, high) in zip(lines, scale, strict=True)
        ]
        statistic = interquartile_mean if len(tasks) > 1 else mean
        bands = [_estimate(statistic, [task[:, place] for task in heights], resamples=_DRAWS) for place in range(_GRID)]
        edges = [(b.value, b.value, b.value) if b.low is None else (b.value, b.low, b.high) for b in bands]
        return Curve(grid, *np.array(edges, float).T)

    def level(self, tasks: Sequence[str], method: str) -> float | None:
        """A method's final score: mean on one task, interquartile mean over several; None where a task has no run."""
        if len(tasks) == 1:
            values = [point.value for point in self.points(tasks[0], method, "final")]
            return float(np.mean(values)) if values else None
        finals = [self._finals(task, method) for task in tasks]
        return float(interquartile_mean(finals)) if all(map(len, finals)) else None

    def points(self, task: str, method: str, name: str, paired: bool = False) -> list[Point]:
        """All points of one sort of a method's runs on a task, or of those that have a counterpart."""
        return [point for run in self._of(task, method, paired) for point in run if point.point == name]

    def measure(self, task: str) -> str:
        """What was measured on a task."""
        return self._measures.get(task, "success")

    def areas(self, task: str, method: str, paired: bool = False, axis: Axis = "env_steps") -> np.ndarray:
        """Scaled areas under the runs' curves, from 0 to the longest run of the task; empty if a run has no curve.

        In the order of seeds.
        """
        ends = [getattr(run[-1], axis) for name in self.suite.methods for run in self._of(task, name)]
        lines = [_line(run, axis) for run in self._of(task, method, paired)]
        if not all(map(len, lines)) or not max(ends):
            return np.zeros(0)
        low, high = self._scale(task)
        return np.array(
            [(area_under_curve(line[:, 0], line[:, 1], 0.0, max(ends)) - low) / (high - low) for line in lines]
        )

    def _row(self, task: str, method: str) -> TaskRow:
        finals = self.points(task, method, "final")
        values, episodes = np.array([point.value for point in finals]), self._episodes(task, method)
        low, high = mean_of_tasks_interval([values], [episodes if len(values) > 1 else None])
        if episodes:
            # What the episodes alone leave open. Of one run, or two, nothing is known of other seeds but these.
            played = len(values) * episodes
            least, most = wilson_interval(round(float(values.mean()) * played), played)
            seen = (low, high) if np.isfinite(low) else (float(values.min()), float(values.max()))
            low, high = min(least, seen[0]), max(most, seen[1])
        estimate, areas = _bounded(float(values.mean()), low, high, bool(episodes)), self.areas(task, method)
        cost = [float(np.mean([getattr(point, axis) for point in finals])) for axis in ("env_steps", "seconds")]
        area = float(np.mean(areas)) if len(areas) else None
        return TaskRow(task, method, self.measure(task), tuple(map(float, values)), estimate, area, *cost)

    def _episodes(self, task: str, method: str) -> int | None:
        """Episodes of each final success rate of a method on a task; None if they differ, or it is no rate."""
        numbers = {p.episodes if p.measure == "success" else None for p in self.points(task, method, "final")}
        return numbers.pop() if len(numbers) == 1 else None

    def _scale(self, task: str) -> tuple[float, float]:
        return (0.0, 1.0) if self.measure(task) == "success" else self.suite.scale.get(task, (0.0, 1.0))

    def _finals(self, task: str, method: str) -> np.ndarray:
        low, high = self._scale(task)
        return np.array([(p.value - low) / (high - low) for p in self.points(task, method, "final", paired=True)])

    def _of(self, task: str, method: str, paired: bool = False) -> list[tuple[Point, ...]]:
        """A method's runs on a task, or those that have a counterpart, in the order of seeds."""
        runs = self._runs.get((task, method), {})
        return [points for seed, points in sorted(runs.items()) if not paired or seed in self._common[task]]


def outside_reference(suite: Suite, standings: Standings) -> list[str]:
    """Finished runs whose final value lies outside of the band that the suite expects it in, one line each."""
    found = []
    for name, standing in standings.items():
        member = standing.member
        band = suite.reference.get(member.method, {}).get(member.task)
        if standing.state == "done" and band and not band[0] <= standing.final.value <= band[1]:
            found.append(f"{name} has {standing.final.value:.4g}, not {band[0]:g} to {band[1]:g}")
    return found


def _line(run: Sequence[Point], axis: Axis) -> np.ndarray:
    """A run's learning curve `[points, 2]`, possibly without points; it ends with what the run has made.

    Without the end, a run that stops early because its solution is good would keep the success of its exploration.
    """
    line = [(getattr(point, axis), point.value) for point in run if point.point == "curve"]
    end = next(((getattr(point, axis), point.value) for point in run if point.point == "final"), None)
    if line and end and end[0] > line[-1][0]:
        line.append(end)
    return np.array(line, float).reshape(-1, 2)


def _bounded(value: float, low: float, high: float, rate: bool) -> Estimate:
    """A number with its interval, within [0, 1] if it is a rate; without one where that is infinite."""
    if not np.isfinite(low):
        return Estimate(value)
    return Estimate(value, max(low, 0.0), min(high, 1.0)) if rate else Estimate(value, low, high)


def _estimate(statistic: Callable[..., np.ndarray], *scores: Scores, resamples: int = 2000) -> Estimate:
    value = float(statistic(*scores))
    if any(len(task) < 2 for method in scores for task in method):
        return Estimate(value)
    low, high = stratified_bootstrap(statistic, *scores, resamples=resamples)
    return Estimate(value, float(low), float(high))
