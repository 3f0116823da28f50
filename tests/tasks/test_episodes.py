"""The memory that all adapters share: which calls it refuses, and the order of the flags."""

import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.tasks.episodes import Episodes, cohort
from tests.toys import point_task


def begun(num_envs=3, horizon=2):
    episodes = Episodes(point_task(horizon), num_envs)
    episodes.begin(np.arange(num_envs), np.zeros((num_envs, 4)))
    return episodes


def record(episodes, ids, success=(), failure=()):
    ids = np.asarray(ids)
    rows = np.full((len(ids), 4), 7.0)
    episodes.record(ids, rows, np.ones(len(ids)), np.isin(ids, success), np.isin(ids, failure))


def test_success_failure_and_time_limit():
    episodes = begun()
    record(episodes, episodes.running(), success=[1], failure=[2])
    _, reward, terminated, truncated, info = episodes.step_result()
    assert terminated.tolist() == [False, True, True]
    assert truncated.tolist() == [False, False, False]
    assert info["success"].tolist() == [False, True, False]
    assert reward.tolist() == [1.0, 1.0, 1.0]
    assert episodes.running().tolist() == [0]
    record(episodes, [0])
    _, reward, terminated, truncated, _ = episodes.step_result()
    assert terminated.tolist() == [False, True, True]
    assert truncated.tolist() == [True, False, False]
    assert reward.tolist() == [1.0, 0.0, 0.0]


def test_success_at_the_last_step_is_no_time_limit():
    episodes = begun(num_envs=1, horizon=1)
    record(episodes, [0], success=[0])
    _, _, terminated, truncated, _ = episodes.step_result()
    assert (terminated[0], truncated[0]) == (True, False)


def test_results_are_copies():
    episodes = begun()
    observation, info = episodes.reset_result()
    observation[:] = 5.0
    info["success"][:] = True
    again, info = episodes.reset_result()
    assert not again.any()
    assert not info["success"].any()


def test_masks():
    episodes = begun()
    assert episodes.to_reset(None, {"reset_mask": np.array([True, False, True])}).tolist() == [0, 2]
    assert episodes.to_reset(4, None).tolist() == [0, 1, 2]
    with pytest.raises(UsageError, match=r"must be bool \[3\], got bool \[2\]"):
        episodes.to_reset(None, {"reset_mask": np.array([True, False])})
    with pytest.raises(UsageError, match="got int64"):
        episodes.to_reset(None, {"reset_mask": np.array([1, 0, 1])})
    with pytest.raises(UsageError, match="not both"):
        episodes.to_reset(4, {"reset_mask": np.array([True, False, True])})


def test_calls_before_the_first_reset_are_refused():
    episodes = Episodes(point_task(), 2)
    with pytest.raises(UsageError, match="before the first reset"):
        episodes.running()
    with pytest.raises(UsageError, match="first reset starts all"):
        episodes.to_reset(None, {"reset_mask": np.array([True, False])})


def test_actions_are_clipped_and_checked():
    episodes = begun(num_envs=2)
    actions = np.array([[3.0, -0.5], [np.nan, 0.0]], np.float32)
    np.testing.assert_array_equal(episodes.actions(actions, np.array([0])), [[1.0, -0.5]])
    with pytest.raises(UsageError, match=r"environment 1 is not finite: \[nan, 0.0\]"):
        episodes.actions(actions, np.array([0, 1]))
    with pytest.raises(UsageError, match=r"shape \[2, 2\], got \[2, 3\]"):
        episodes.actions(np.zeros((2, 3), np.float32), np.array([0]))


def test_at_least_one_environment():
    with pytest.raises(UsageError, match="num_envs must be at least 1, got 0"):
        Episodes(point_task(), 0)


def test_cohort_gives_the_remainder_to_the_first_environments():
    assert cohort(10, 4).tolist() == [3, 3, 2, 2]
    assert cohort(8, 4).tolist() == [2, 2, 2, 2]
    assert cohort(2, 4).tolist() == [1, 1, 0, 0]
