"""Methods compared over tasks and seeds: robust means, who beats whom, profiles, and what all of them are worth.

Scores of a method are one array a task, of one number a run (seed); tasks may have different numbers of runs. All
statistics take leading axes as well, so that every draw of a bootstrap is computed at once.

Source: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", 2021.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from expertgen.errors import UsageError
from expertgen.evaluation.statistics import student_quantile

Scores = Sequence[np.ndarray]
"""One float array `[*draws, runs]` a task."""


def interquartile_mean(scores: Scores) -> Float[np.ndarray, "*draws"]:
    """Mean of the middle half of all scores: steadier than the mean, more of the data than the median.

    Runs of all tasks are pooled, and `floor(n / 4)` scores are cut at each end: fewer than four give the plain mean.

    Args:
        scores: at least one run in all.
    """
    ordered = np.sort(np.concatenate(list(scores), axis=-1), axis=-1)
    count = ordered.shape[-1]
    cut = count // 4
    return np.asarray(ordered[..., cut : count - cut].mean(axis=-1))


def mean(scores: Scores) -> Float[np.ndarray, "*draws"]:
    """Mean of all scores, runs of all tasks pooled.

    Args:
        scores: at least one run in all.
    """
    return np.asarray(np.concatenate(list(scores), axis=-1).mean(axis=-1))


def mean_of_tasks_interval(
    scores: Scores, episodes: Sequence[int | None], confidence: float = 0.95
) -> tuple[float, float]:
    """Student's interval of the mean over tasks of the mean over runs: these tasks, other seeds.

    The variance of a task's mean is that between its runs. If scores are success rates it is at least the binomial one
    of all episodes (of (k + 1) / (n + 2), which is neither 0 nor 1): a single run has no other, and runs that happen to
    be equal are no certainty. Degrees of freedom are Satterthwaite's.

    Args:
        scores: one float array `[runs]` a task, at least one run of each.
        episodes: of each run of a task, all the same, if its scores are success rates; else None.
        confidence: coverage, in (0, 1).

    Returns:
        lower and upper end; infinite where a task leaves its variance open, or there are too few runs.

    Source: Satterthwaite, "An approximate distribution of estimates of variance components", 1946.
    """
    total = uncertain = 0.0
    for runs, played in zip(scores, episodes, strict=True):
        count = len(runs)
        between = float(np.var(runs, ddof=1)) / count if count > 1 else 0.0
        within = 0.0
        if played is not None:
            rate = (float(np.sum(runs)) * played + 1) / (count * played + 2)
            within = rate * (1 - rate) / (count * played)
        elif count < 2:
            return -math.inf, math.inf
        total += max(between, within)
        uncertain += between**2 / (count - 1) if between > within else 0.0
    degrees = total**2 / uncertain if uncertain else math.inf
    middle = float(np.mean([np.mean(runs) for runs in scores]))
    half = student_quantile(degrees, confidence) * math.sqrt(total) / len(scores)
    return middle - half, middle + half


def probability_of_improvement(scores: Scores, others: Scores) -> Float[np.ndarray, "*draws"]:
    """Chance that a run of one method beats a run of another on the same task, averaged over tasks; a tie counts half.

    It says how often, not by how much, and needs no common scale of the tasks.

    Args:
        scores: of the one method.
        others: of the other, on the same tasks in the same order.
    """
    chances = []
    for ours, theirs in zip(scores, others, strict=True):
        difference = ours[..., :, None] - theirs[..., None, :]
        chances.append(((np.sign(difference) + 1) / 2).mean(axis=(-2, -1)))
    return np.asarray(np.mean(chances, axis=0))


def permutation_p_value(scores: Scores, others: Scores, resamples: int = 4999, seed: int = 0) -> float:
    """How often chance parts two methods as far as these runs do: a two-sided test of the probability of improvement.

    If the methods were the same, it would not matter which runs of a task are whose, so they are dealt anew, within
    each task. Three runs against three on a single task never give less than 0.1, however far apart they are.

    Args:
        scores: of the one method, one float array `[runs]` a task.
        others: of the other, on the same tasks in the same order.
        resamples: times that runs are dealt.
        seed: of the dealing.
    """
    generator = np.random.default_rng(seed)
    ours, theirs = [], []
    for own, other in zip(scores, others, strict=True):
        dealt = generator.permuted(np.tile(np.concatenate([own, other]), (resamples, 1)), axis=-1)
        ours.append(dealt[:, : len(own)])
        theirs.append(dealt[:, len(own) :])
    found, by_chance = (np.abs(probability_of_improvement(*pair) - 0.5) for pair in ((scores, others), (ours, theirs)))
    return float((1 + (by_chance >= found - 1e-9).sum()) / (1 + resamples))


def adjusted_p_values(p_values: Sequence[float]) -> list[float]:
    """p-values for many tests at once: the chance that chance alone makes any of those below a level.

    Where each of 100 pairs is judged at 0.05, five of them differ by chance. Judged by adjusted values, all pairs
    together are as likely to hold a false difference as one pair judged alone.

    Args:
        p_values: of each test.

    Returns:
        the adjusted ones, in the same order, at most 1.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    p = np.asarray(p_values, float)
    order, adjusted = np.argsort(p, kind="stable"), np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(p[order] * np.arange(len(p), 0, -1), 1.0))
    return adjusted.tolist()


def performance_profile(
    scores: Scores, thresholds: Float[np.ndarray, " thresholds"]
) -> Float[np.ndarray, "*draws thresholds"]:
    """Share of runs that score above each threshold, of all tasks together.

    Args:
        scores: at least one run in all.
        thresholds: where to look.
    """
    pooled = np.concatenate(list(scores), axis=-1)
    return np.stack([(pooled > threshold).mean(axis=-1) for threshold in thresholds], axis=-1)


def area_under_curve(
    x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], start: float, end: float
) -> float:
    """Mean height of a curve between two places: what was had on the way, not only at the end.

    Between points the curve is straight. Before the first and after the last, as of a run that stopped early, it stays
    where it is.

    Args:
        x: increasing; at least one point.
        y: heights.
        start: where the area begins.
        end: where it ends, beyond `start`.
    """
    where = np.concatenate([[start], x[(x > start) & (x < end)], [end]])
    height = np.interp(where, x, y)
    return float(np.sum(np.diff(where) * (height[1:] + height[:-1]) / 2) / (end - start))


def stratified_bootstrap(
    statistic: Callable[..., np.ndarray],
    *scores: Scores,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of a statistic over runs, drawing runs anew within each task and never across tasks.

    With three seeds there are only ten distinct draws a task: the interval of one task is then the range of its seeds,
    a rough hint, and too narrow.

    Args:
        statistic: from scores with a leading axis of draws to one value, or one array, a draw.
        *scores: what the statistic takes; each is drawn from on its own.
        resamples: number of draws.
        confidence: coverage, in (0, 1).
        seed: of the draws.

    Returns:
        lower and upper end, each of the statistic's shape.

    Raises:
        UsageError: if a task has no run.
    """
    generator = np.random.default_rng(seed)
    drawn = []
    for method in scores:
        if not len(method) or any(np.ndim(task) != 1 or not len(task) for task in method):
            shapes = [list(np.shape(task)) for task in method]
            raise UsageError(f"scores have shapes {shapes}; give one [runs] a task, at least one run of each")
        drawn.append([task[generator.integers(len(task), size=(resamples, len(task)))] for task in method])
    tail = (1 - confidence) / 2
    low, high = np.quantile(statistic(*drawn), [tail, 1 - tail], axis=0)
    return np.asarray(low), np.asarray(high)
