"""Uncertainty of success rates and returns within one run, and between two policies; `comparison` has several runs."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion; honest near 0 and 1, where `p ± 1.96 s` is not.

    Args:
        successes: number of successes, 0 to `trials`.
        trials: number of independent episodes; with 0 nothing is known, and the interval is (0, 1).
        confidence: coverage, in (0, 1).

    Returns:
        lower and upper end, in [0, 1].

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p, spread = successes / trials, z * z / trials
    centre = (p + spread / 2) / (1 + spread)
    half = z * np.sqrt(p * (1 - p) / trials + spread / (4 * trials)) / (1 + spread)
    # At the ends the interval touches 0 and 1 exactly; rounding would leave it a hair inside.
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == trials else float(centre + half)
    return low, high


def difference_interval(
    successes_a: int, trials_a: int, successes_b: int, trials_b: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the difference `a - b` of two independent proportions.

    An interval without 0 in it says that the two policies differ; overlapping intervals of the two alone do not say
    the contrary.

    Returns:
        lower and upper end, in [-1, 1].

    Source: Newcombe, "Interval estimation for the difference between independent proportions", 1998, method 10.
    """
    low_a, high_a = wilson_interval(successes_a, trials_a, confidence)
    low_b, high_b = wilson_interval(successes_b, trials_b, confidence)
    a, b = successes_a / max(trials_a, 1), successes_b / max(trials_b, 1)
    below, above = np.hypot(a - low_a, high_b - b), np.hypot(high_a - a, b - low_b)
    return float(a - b - below), float(a - b + above)


def mean_interval(mean: float, deviation: float, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of a mean, such as that of the returns of episodes.

    Args:
        mean: of the trials.
        deviation: their standard deviation, as `numpy.std` gives it.
        trials: how many; with fewer than 3 nothing is known, and the interval is infinite.
        confidence: coverage, in (0, 1).

    Returns:
        lower and upper end.
    """
    if trials < 3:
        return -math.inf, math.inf
    half = student_quantile(trials - 1, confidence) * deviation / math.sqrt(trials - 1)
    return mean - half, mean + half


def student_quantile(degrees: float, confidence: float = 0.95) -> float:
    """How many standard errors a two-sided Student's interval reaches to each side.

    Args:
        degrees: of freedom; infinite with fewer than 2, of which next to nothing can be said.
        confidence: coverage, in (0, 1).

    Source: Abramowitz and Stegun, "Handbook of mathematical functions", 1964, 26.7.5: 3% short with 2 degrees, 0.3%
        with 4.
    """
    if degrees < 2:
        return math.inf
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / degrees**power for power, term in enumerate(terms))
