"""Jerk, saturation and time warping against numbers worked out by hand and a plain textbook recursion."""

import numpy as np
import pytest

from expertgen.evaluation.motion import (
    action_jerk,
    action_saturation,
    distance_to_demonstrations,
    path_columns,
    resample_path,
    warping_distance,
)
from tests.toys import point_task


def plain_warping(a: np.ndarray, b: np.ndarray) -> float:
    """The recursion as in the paper, cell by cell."""
    table = np.full((len(a) + 1, len(b) + 1), np.inf)
    for i in range(len(a)):
        for j in range(len(b)):
            d = np.linalg.norm(a[i] - b[j])
            diagonal = 0.0 if i == j == 0 else table[i, j]
            table[i + 1, j + 1] = min(table[i, j + 1] + d, diagonal + 2 * d, table[i + 1, j] + d)
    return table[-1, -1] / (len(a) + len(b))


def test_jerk_by_hand():
    time = np.arange(20.0)
    assert action_jerk(np.stack([0.1 * time, 0.01 * time**2], 1)) == pytest.approx(0.0, abs=1e-12)
    assert action_jerk(time[:, None] ** 3) == pytest.approx(6.0)
    assert action_jerk((-1.0) ** time[:, None]) == pytest.approx(8.0)
    noise = np.random.default_rng(0).normal(0, 0.3, (20000, 2))
    assert action_jerk(noise) == pytest.approx(0.3 * np.sqrt(20), rel=0.02)


def test_jerk_of_a_very_short_episode_is_unknown():
    assert np.isnan(action_jerk(np.zeros((3, 2), np.float32)))


def test_saturation_by_hand():
    assert action_saturation(np.array([[1.0, 0.5], [-1.0, 0.98]])) == 0.5
    assert np.isnan(action_saturation(np.zeros((0, 2))))


def test_path_is_the_hand_or_every_length():
    task = point_task()
    assert path_columns(task).tolist() == [0, 1, 2, 3]
    hand = [type(f)(**(vars(f) | {"name": "hand_position"})) if f.start == 2 else f for f in task.fields]
    assert path_columns(type(task)(**(vars(task) | {"fields": tuple(hand)}))).tolist() == [2, 3]
    assert path_columns(type(task)(**(vars(task) | {"fields": ()}))).size == 0


def test_resampling_keeps_the_ends_and_is_linear():
    path = np.array([[0.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(resample_path(path, 5), [[0, 1], [0.25, 1.5], [0.5, 2], [0.75, 2.5], [1, 3]])
    np.testing.assert_allclose(resample_path(path[:1], 3), np.tile(path[:1], (3, 1)))


def test_warping_agrees_with_the_plain_recursion():
    rng = np.random.default_rng(0)
    paths, references = rng.normal(size=(3, 7, 2)).cumsum(1), rng.normal(size=(4, 11, 2)).cumsum(1)
    expected = [[plain_warping(a, b) for b in references] for a in paths]
    np.testing.assert_allclose(warping_distance(paths, references), expected)


def test_warping_by_hand():
    # A constant offset of 2 cannot be warped away; a pause can.
    line = np.linspace(0, 1, 6)[None, :, None]
    assert warping_distance(line, line + 2 * np.array([[[1.0]]]))[0, 0] > 1.0
    paused = line[:, [0, 0, 0, 1, 2, 2, 3, 4, 5, 5]]
    assert warping_distance(paused, line)[0, 0] == 0.0
    assert warping_distance(np.zeros((1, 4, 3)), np.full((1, 5, 3), 1.0))[0, 0] == pytest.approx(np.sqrt(3))


def test_distance_is_to_the_nearest_of_evenly_chosen_demonstrations():
    still = [np.full((9, 3), float(k)) for k in range(101)]
    distances = distance_to_demonstrations([np.full((5, 3), 42.4), np.full((30, 3), -1.0)], still, most=101)
    np.testing.assert_allclose(distances, np.sqrt(3) * np.array([0.4, 1.0]))
    # Of 101 demonstrations 0, 50 and 100 are used.
    assert distance_to_demonstrations([np.full((5, 3), 42.0)], still, most=3)[0] == pytest.approx(8 * np.sqrt(3))
