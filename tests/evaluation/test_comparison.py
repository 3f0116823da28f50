"""Comparisons against hand-computed numbers, scipy and rliable."""

import numpy as np
import pytest
from scipy import stats

from expertgen.errors import UsageError
from expertgen.evaluation.comparison import (
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


def scores(seed: int, runs: int = 5, tasks: int = 4, shift: float = 0.0) -> list[np.ndarray]:
    """Scores with ties, another level for every task."""
    draw = np.random.default_rng(seed)
    return [np.round(draw.normal(task + shift, 1.0, runs), 1) for task in range(tasks)]


@pytest.mark.parametrize("count", [1, 3, 4, 7, 8, 15, 100])
def test_interquartile_mean_agrees_with_scipy(count: int):
    values = np.random.default_rng(count).normal(size=count)
    assert interquartile_mean([values]) == pytest.approx(stats.trim_mean(values, 0.25))


def test_interquartile_mean_by_hand():
    assert interquartile_mean([np.array([100.0, 2.0]), np.array([4.0, -50.0])]) == 3.0
    # Unequal numbers of runs are pooled: of 1 to 5 and 90, one is cut at each end.
    assert interquartile_mean([np.array([1.0, 90.0]), np.array([2.0, 3.0, 4.0, 5.0])]) == 3.5


def test_improvement_by_hand():
    # First task: 2 of 4 pairs are won, one is a tie: 5/8. Second: all are lost.
    ours, theirs = [np.array([1.0, 3.0]), np.array([0.0])], [np.array([1.0, 2.0]), np.array([5.0, 6.0])]
    assert probability_of_improvement(ours, theirs) == pytest.approx((0.625 + 0) / 2)


def test_improvement_agrees_with_scipy_and_its_mirror():
    ours, theirs = scores(0), scores(1, runs=7, shift=0.5)
    expected = [
        stats.mannwhitneyu(a, b, method="asymptotic").statistic / (len(a) * len(b))
        for a, b in zip(ours, theirs, strict=True)
    ]
    assert probability_of_improvement(ours, theirs) == pytest.approx(np.mean(expected))
    assert probability_of_improvement(theirs, ours) == pytest.approx(1 - np.mean(expected))


def test_profile_by_hand():
    profile = performance_profile([np.array([0.0, 0.5]), np.array([1.0, 1.0])], np.array([-1.0, 0.0, 0.5, 1.0]))
    np.testing.assert_allclose(profile, [1.0, 0.75, 0.5, 0.0])


def test_area_by_hand():
    x, y = np.array([10.0, 20.0, 40.0]), np.array([0.0, 1.0, 1.0])
    assert area_under_curve(x, y, 10, 40) == pytest.approx((5 + 20) / 30)
    assert area_under_curve(x, y, 0, 60) == pytest.approx((5 + 40) / 60)  # held before the first point, after the last
    assert area_under_curve(x, y, 12, 15) == pytest.approx(0.35)  # cut inside a piece
    assert area_under_curve(x[:1], y[:1] + 0.3, 0, 20) == pytest.approx(0.3)


def test_area_agrees_with_scipy():
    from scipy.integrate import trapezoid

    x, y = np.sort(np.random.default_rng(0).random(50)), np.random.default_rng(1).random(50)
    assert area_under_curve(x, y, x[0], x[-1]) == pytest.approx(trapezoid(y, x) / (x[-1] - x[0]))


def test_mean_of_one_task_has_the_interval_of_student():
    values = np.random.default_rng(0).normal(size=8)
    expected = stats.t.interval(0.95, 7, values.mean(), stats.sem(values))
    assert mean_of_tasks_interval([values], [None]) == pytest.approx(expected, abs=1e-3)


def test_mean_of_tasks_knows_that_equal_runs_are_no_certainty():
    low, high = mean_of_tasks_interval([np.ones(3), np.ones(3)], [256, 256])
    assert 0.99 < low < 1 < high
    assert mean_of_tasks_interval([np.array([0.5])], [100]) == pytest.approx((0.402, 0.598), abs=1e-3)  # binomial
    assert mean_of_tasks_interval([np.array([0.5])], [None]) == (-np.inf, np.inf)
    assert mean_of_tasks_interval([np.array([0.1, 0.9])], [100]) == (-np.inf, np.inf), "one degree of freedom"


def test_mean_of_tasks_covers_what_it_says():
    # Ten tasks, three seeds whose true rates differ, 256 episodes each.
    draw = np.random.default_rng(0)
    covered, narrow = [], []
    for _ in range(400):
        level = draw.uniform(0.5, 0.95, (10, 1))
        scores = draw.binomial(256, np.clip(level + draw.normal(0, 0.05, (10, 3)), 0, 1)) / 256
        low, high = mean_of_tasks_interval(list(scores), [256] * 10)
        covered.append(low <= level.mean() <= high)
        least, most = stratified_bootstrap(mean, list(scores), resamples=200)
        narrow.append(least <= level.mean() <= most)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)
    assert np.mean(narrow) < 0.92


def test_bootstrap_of_the_mean_agrees_with_scipy():
    values = np.random.default_rng(0).normal(size=40)
    low, high = stratified_bootstrap(mean, [values], resamples=4000)
    expected = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.03)


def test_bootstrap_never_mixes_tasks():
    # Every task is certain, so whatever is drawn within the tasks gives the same table; across tasks it would not.
    certain = [np.full(5, level) for level in (0.1, 0.5, 0.9, 0.2)]
    assert stratified_bootstrap(mean, certain, resamples=50) == pytest.approx((0.425, 0.425))


def test_bootstrap_draws_methods_apart():
    # The same runs twice: drawn together they would always tie.
    low, high = stratified_bootstrap(probability_of_improvement, scores(0), scores(0))
    assert low < 0.45
    assert high > 0.55


def test_bootstrap_is_deterministic_and_needs_runs():
    assert stratified_bootstrap(interquartile_mean, scores(0), seed=3) == stratified_bootstrap(
        interquartile_mean, scores(0), seed=3
    )
    for empty in ([], [np.zeros(0)], [np.zeros((2, 2))]):
        with pytest.raises(UsageError, match="at least one run of each"):
            stratified_bootstrap(interquartile_mean, empty)


def test_everything_agrees_with_rliable():
    library = pytest.importorskip("rliable.library", reason="rliable is not installed")
    metrics = pytest.importorskip("rliable.metrics", reason="rliable is not installed")
    ours, theirs = scores(0, runs=8), scores(1, runs=8, shift=0.3)
    a, b = np.stack(ours, axis=1), np.stack(theirs, axis=1)  # [runs, tasks]
    assert interquartile_mean(ours) == pytest.approx(metrics.aggregate_iqm(a))
    assert probability_of_improvement(ours, theirs) == pytest.approx(metrics.probability_of_improvement(a, b))
    thresholds = np.linspace(-2, 5, 15)
    profile, _ = library.create_performance_profile({"ours": a}, thresholds, reps=2)
    np.testing.assert_allclose(performance_profile(ours, thresholds), profile["ours"])
    for statistic, reference, ours_given, given in (
        (interquartile_mean, metrics.aggregate_iqm, (ours,), a),
        (probability_of_improvement, metrics.probability_of_improvement, (ours, theirs), (a, b)),
    ):
        _, intervals = library.get_interval_estimates(
            {"x": given}, lambda *x, f=reference: np.array([f(*x)]), reps=1000, random_state=np.random.RandomState(0)
        )
        low, high = stratified_bootstrap(statistic, *ours_given)
        np.testing.assert_allclose([low, high], intervals["x"][:, 0], atol=0.06)


def test_permutation_agrees_with_scipy_on_one_task():
    ours, theirs = np.array([0.9, 0.8, 0.95, 0.7, 0.85]), np.array([0.6, 0.75, 0.5, 0.8])

    def distance(a, b, axis=-1):
        return np.abs(probability_of_improvement([np.moveaxis(a, axis, -1)], [np.moveaxis(b, axis, -1)]) - 0.5)

    exact = stats.permutation_test((ours, theirs), distance, vectorized=True, n_resamples=np.inf, alternative="greater")
    assert permutation_p_value([ours], [theirs]) == pytest.approx(exact.pvalue, abs=0.01)


def test_permutation_by_hand():
    # Of 20 ways to deal six runs, two part them so far. Three tasks alike: 2 of 20³.
    apart = [np.array([3.0, 4.0, 5.0])], [np.array([0.0, 1.0, 2.0])]
    assert permutation_p_value(*apart) == pytest.approx(0.1, abs=0.02)
    assert permutation_p_value(*(3 * one for one in apart)) < 0.002
    assert permutation_p_value(apart[0], apart[0]) == 1.0


def test_adjusted_p_values_by_hand():
    # Sorted 0.01, 0.03, 0.04 become 3 · 0.01, 2 · 0.03 and, never less than one before, 0.06.
    assert adjusted_p_values([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert adjusted_p_values([0.7, 0.8]) == [1.0, 1.0]
    assert adjusted_p_values([0.04]) == [0.04]
    assert adjusted_p_values([]) == []


def test_permutation_seldom_parts_what_is_the_same():
    found = [permutation_p_value(scores(seed, 3, 3), scores(seed + 1000, 3, 3), 199) < 0.05 for seed in range(300)]
    assert np.mean(found) < 0.08
