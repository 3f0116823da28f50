"""Two sets of demonstrations side by side: where they start, how long they take, how they move, whether they succeed.

Coverage of start states. Columns are divided by their standard deviation over the starts of both sets, and those that
never change are left out. A start is *covered* by a set if its nearest start there is no farther than most starts of
that set are from their own nearest neighbour (95 of 100). A set covers 95% of itself by that rule; a second set from
the same distribution is covered about as well, one from elsewhere is not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from expertgen.demos.store import DemoSet
from expertgen.errors import UsageError
from expertgen.evaluation.motion import action_jerk, action_saturation
from expertgen.evaluation.statistics import difference_interval, wilson_interval

COVERED_SHARE = 0.95
"""Share of a set's own starts that lie within the distance by which it covers others."""

_ROWS = 512
"""Starts that are compared at a time."""


@dataclass(frozen=True)
class DemoSummary:
    """What is compared of one set.

    Attributes:
        episodes: number of demonstrations.
        steps: control steps of all of them.
        successes: number of those that succeed.
        interval: 95% interval of their share.
        lengths: shortest, median and longest [control steps].
        jerk: median over the demonstrations of `action_jerk`; NaN if all are shorter than four steps.
        saturation: median of `action_saturation`.
        sources: source → number of demonstrations.
        covered: share of the starts that the other set covers, NaN if it has only one.
        start_mean: field → mean over the starts and the columns.
        start_deviation: field → root mean square deviation of the starts from the mean of their column.
    """

    episodes: int
    steps: int
    successes: int
    interval: tuple[float, float]
    lengths: tuple[int, float, int]
    jerk: float
    saturation: float
    sources: dict[str, int]
    covered: float
    start_mean: dict[str, float]
    start_deviation: dict[str, float]


@dataclass(frozen=True)
class DemoComparison:
    """Two sets of demonstrations of one task.

    Attributes:
        names: what to call them.
        both: their summaries.
        difference: 95% interval of the success of the second less that of the first.
    """

    names: tuple[str, str]
    both: tuple[DemoSummary, DemoSummary]
    difference: tuple[float, float]

    def __rich__(self) -> Table:
        """What `rich` prints."""
        table = Table("", *self.names, title="demonstrations compared", title_justify="left")

        def row(name: str, *cells: str) -> None:
            table.add_row(name, *cells)

        row("episodes", *(f"{one.episodes} ({one.steps:,} control steps)" for one in self.both))
        row("success", *(f"{one.successes / one.episodes:.1%}" for one in self.both))
        row("  95% interval", *(f"{one.interval[0]:.1%} to {one.interval[1]:.1%}" for one in self.both))
        row("  second less first", "", f"{self.difference[0]:+.1%} to {self.difference[1]:+.1%}")
        row("length", *(f"{a} to {c}, median {b:g}" for a, b, c in (one.lengths for one in self.both)))
        row("jerk of the actions", *(f"{one.jerk:.3f}" for one in self.both))
        row("actions at the limit", *(f"{one.saturation:.1%}" for one in self.both))
        row("sources", *(", ".join(f"{s} ({n})" for s, n in one.sources.items()) for one in self.both))
        row("starts covered by the other", *(_share(one.covered) for one in self.both))
        for name in self.both[0].start_mean:
            cells = (f"{one.start_mean[name]:.3f} ± {one.start_deviation[name]:.3f}" for one in self.both)
            row(f"start of {name}", *cells)
        return table


def compare_demos(first: DemoSet, second: DemoSet, names: tuple[str, str] = ("first", "second")) -> DemoComparison:
    """Compares two sets of demonstrations of one task.

    Raises:
        UsageError: if their tasks or fields differ.
    """
    if (first.task, first.fields) != (second.task, second.fields):
        raise UsageError(
            f"only demonstrations of one task can be compared: {names[0]} is of {first.task!r}, {names[1]} of "
            f"{second.task!r}" + ("" if first.task != second.task else ", with other fields")
        )
    a, b = (np.stack([demo.observations[0] for demo in one.demos]).astype(np.float64) for one in (first, second))
    both = _summary(first, a, covered_share(a, b)), _summary(second, b, covered_share(b, a))
    (x, n), (y, m) = ((one.successes, one.episodes) for one in both)
    return DemoComparison(names, both, difference_interval(y, m, x, n))


def covered_share(starts: np.ndarray, others: np.ndarray) -> float:
    """Share of start states that another set covers.

    Args:
        starts: `[n, D]`.
        others: `[m, D]`, the set that covers.

    Returns:
        0 to 1; NaN if `others` has a single start, which tells nothing of its spread.
    """
    if len(others) < 2:
        return float("nan")
    scale = np.concatenate([starts, others]).std(axis=0)
    varies = scale > 1e-9
    starts, others = starts[:, varies] / scale[varies], others[:, varies] / scale[varies]
    reach = np.quantile(_nearest(others, others, itself=True), COVERED_SHARE)
    return float(np.mean(_nearest(starts, others) <= reach + 1e-6))


def _nearest(points: np.ndarray, others: np.ndarray, itself: bool = False) -> np.ndarray:
    """Distance of each point `[n, k]` to the nearest of the others `[m, k]`, but not to itself; float64 `[n]`."""
    found = np.empty(len(points))
    for first in range(0, len(points), _ROWS):
        rows = points[first : first + _ROWS]
        squares = np.square(rows).sum(axis=1)[:, None] + np.square(others).sum(axis=1) - 2.0 * rows @ others.T
        if itself:
            squares[np.arange(len(rows)), first + np.arange(len(rows))] = np.inf
        found[first : first + len(rows)] = np.sqrt(np.maximum(squares.min(axis=1), 0.0))
    return found


def _summary(demos: DemoSet, starts: np.ndarray, covered: float) -> DemoSummary:
    lengths = np.array([len(demo.actions) for demo in demos.demos])
    jerks = np.array([action_jerk(demo.actions) for demo in demos.demos])
    deviation = np.square(starts - starts.mean(axis=0))
    return DemoSummary(
        episodes=len(demos),
        steps=demos.steps,
        successes=demos.successes,
        interval=wilson_interval(demos.successes, len(demos)),
        lengths=(int(lengths.min()), float(np.median(lengths)), int(lengths.max())),
        jerk=float(np.median(known)) if (known := jerks[np.isfinite(jerks)]).size else float("nan"),
        saturation=float(np.median([action_saturation(demo.actions) for demo in demos.demos])),
        sources=dict(Counter(demo.source for demo in demos.demos)),
        covered=covered,
        start_mean={name: float(starts[:, a:b].mean()) for name, a, b in demos.fields},
        start_deviation={name: float(np.sqrt(deviation[:, a:b].mean())) for name, a, b in demos.fields},
    )


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1%}"
