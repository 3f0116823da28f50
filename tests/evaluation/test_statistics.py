"""Intervals against published and hand-computed numbers, and against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from expertgen.evaluation.statistics import difference_interval, mean_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 10), (1, 10), (81, 263), (15, 148), (243, 256), (256, 256), (1, 1)]
)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilson_agrees_with_scipy(successes: int, trials: int, confidence: float):
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, trials, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_published_example():
    # Newcombe 1998 ("Two-sided confidence intervals for the single proportion"), 81 of 263: .2553 to .3662.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_wilson_at_the_ends():
    assert wilson_interval(0, 256)[0] == 0.0
    assert wilson_interval(256, 256)[1] == 1.0
    # z^2 / (n + z^2) by hand.
    assert wilson_interval(0, 256)[1] == pytest.approx(3.841459 / 259.841459, abs=1e-6)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_difference_published_examples():
    # Newcombe 1998, table II, method 10: 56/70 - 48/80 and 9/10 - 3/10.
    assert difference_interval(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference_interval(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)


def test_difference_is_antisymmetric():
    low, high = difference_interval(200, 256, 180, 256)
    assert difference_interval(180, 256, 200, 256) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("trials", "tolerance"), [(3, 0.035), (5, 0.003), (32, 1e-4), (1000, 1e-4)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_mean_interval_agrees_with_scipy(trials: int, tolerance: float, confidence: float):
    values = np.random.default_rng(trials).normal(5, 2, trials)
    expected = stats.t.interval(confidence, trials - 1, values.mean(), stats.sem(values))
    low, high = mean_interval(float(values.mean()), float(values.std()), trials, confidence)
    assert high - low == pytest.approx(expected[1] - expected[0], rel=tolerance)
    assert (low + high) / 2 == pytest.approx(values.mean())


def test_mean_interval_of_too_few_is_infinite():
    assert mean_interval(5.0, 0.0, 2) == (-math.inf, math.inf)
