"""Chunks become decisions: where they stop, what they add up, what they leave alone."""

import numpy as np

from expertgen.tasks.chunks import execute_chunk
from tests.toys import PointEnv, point_task


def at(env, points, goals):
    """Puts the points and goals of a toy environment somewhere."""
    env.reset(seed=0)
    env._observation[:, :2], env._observation[:, 2:] = points, goals


def test_a_chunk_stops_at_success_and_sums_its_rewards():
    env = PointEnv(2)
    at(env, [[0.0, 0.0], [0.0, 0.0]], [[0.2, 0.0], [0.9, 0.0]])
    chunk = np.tile(np.array([1.0, 0.0], np.float32), (2, 4, 1))
    outcome = execute_chunk(env, chunk, np.zeros(2, bool))
    assert outcome.steps.tolist() == [2, 4]
    assert outcome.success.tolist() == [True, False]
    assert outcome.terminated.tolist() == [True, False]
    assert outcome.ended.tolist() == [True, False]
    np.testing.assert_allclose(outcome.next_observation[:, 0], [0.2, 0.4], atol=1e-6)
    np.testing.assert_allclose(outcome.reward, [-0.1 - 0.0, -0.8 - 0.7 - 0.6 - 0.5], atol=1e-6)
    np.testing.assert_allclose(outcome.observations[0, :, 0], [0.1, 0.2, 0.2, 0.2], atol=1e-6)
    np.testing.assert_allclose(outcome.observations[1, :, 0], [0.1, 0.2, 0.3, 0.4], atol=1e-6)


def test_a_chunk_stops_at_the_time_limit():
    env = PointEnv(1, task=point_task(horizon=3))
    at(env, [[0.0, 0.0]], [[0.9, 0.9]])
    outcome = execute_chunk(env, np.zeros((1, 8, 2), np.float32), np.zeros(1, bool))
    assert outcome.steps.tolist() == [3]
    assert (outcome.terminated[0], outcome.truncated[0], outcome.success[0]) == (False, True, False)


def test_ended_episodes_run_no_step():
    env = PointEnv(2, task=point_task(horizon=3))
    at(env, [[0.0, 0.0], [0.0, 0.0]], [[0.1, 0.0], [0.9, 0.9]])
    chunk = np.tile(np.array([1.0, 0.0], np.float32), (2, 2, 1))
    first = execute_chunk(env, chunk, np.zeros(2, bool))
    second = execute_chunk(env, chunk, first.ended)
    assert first.ended.tolist() == [True, False]
    assert second.steps.tolist() == [0, 1]
    assert second.reward[0] == 0.0
    assert second.success.tolist() == [True, False]
    np.testing.assert_array_equal(second.observations[0], np.tile(first.next_observation[0], (2, 1)))
