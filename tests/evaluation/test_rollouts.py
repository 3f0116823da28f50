"""Fixed cohorts, terminal observations, determinism, and nobody simulated in vain."""

import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.evaluation.rollouts import Episode, run_episodes
from expertgen.runs.progress import drain
from expertgen.tasks.environment import TaskEnv
from tests.toys import STEP_LENGTH, PointEnv, point_action, point_task


class Expert:
    """Plans `chunk_length` steps straight to the goal, and remembers whom it was asked for."""

    def __init__(self, chunk_length: int = 4) -> None:
        self.chunk_length = chunk_length
        self.planned: list[list[int]] = []
        self.resets: list[list[int]] = []

    def reset(self, ids: np.ndarray) -> None:
        self.resets.append(ids.tolist())

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        assert len(observation) == len(ids)
        self.planned.append(ids.tolist())
        chunk = np.zeros((len(ids), self.chunk_length, 2), np.float32)
        state = observation.copy()
        for h in range(self.chunk_length):
            chunk[:, h] = point_action(state)
            state[:, :2] = np.clip(state[:, :2] + STEP_LENGTH * chunk[:, h], -1, 1)
        return chunk


class CountdownEnv(TaskEnv):
    """Episode `k` of environment `i` ends after `lengths[i][k]` steps, in success if that is even."""

    def __init__(self, lengths: list[list[int]]) -> None:
        super().__init__(point_task(horizon=1000), len(lengths))
        self.lengths = lengths
        self.simulated = np.zeros(len(lengths), int)

    def reset(self, *, seed=None, options=None):
        mask = options["reset_mask"] if options else np.ones(self.num_envs, bool)
        if seed is not None:
            self.index, self.count = np.full(self.num_envs, -1), np.zeros(self.num_envs, int)
        self.index[mask] += 1
        self.count[mask] = 0
        return self._observe(), {"success": np.zeros(self.num_envs, bool)}

    def step(self, actions):
        running = self.count < self._length()
        self.simulated += running
        self.count += running
        over = self.count >= self._length()
        success = over & (self._length() % 2 == 0)
        return self._observe(), np.zeros(self.num_envs), success, over & ~success, {"success": success}

    def _length(self) -> np.ndarray:
        return np.array([row[k] for row, k in zip(self.lengths, self.index, strict=True)])

    def _observe(self) -> np.ndarray:
        columns = [np.arange(self.num_envs), self.index, self.count, np.zeros(self.num_envs)]
        return np.stack(columns, 1).astype(np.float32)


def same(a: Episode, b: Episode) -> bool:
    plain = (a.env, a.index, a.success, a.steps) == (b.env, b.index, b.success, b.steps)
    return plain and np.array_equal(a.observations, b.observations) and np.array_equal(a.actions, b.actions)


def test_every_environment_plays_its_share_and_no_step_more():
    # Environment 0 has quick successes, 1 slow failures: a first-come count of 5 episodes would take only
    # environment 0's.
    env = CountdownEnv([[2, 2, 2, 99], [33, 21, 99]])
    episodes = drain(run_episodes(env, Expert(4), 5, seed=0))
    assert [(e.env, e.index, e.steps, e.success) for e in episodes] == [
        (0, 0, 2, True),
        (0, 1, 2, True),
        (0, 2, 2, True),
        (1, 0, 33, False),
        (1, 1, 21, False),
    ]
    assert env.simulated.tolist() == [6, 54]


def test_observations_run_from_the_reset_to_the_true_terminal_one():
    env = CountdownEnv([[3, 6], [7, 2]])
    for episode in drain(run_episodes(env, Expert(4), 4, seed=0)):
        assert episode.observations.dtype == episode.actions.dtype == np.float32
        assert episode.observations[:, 2].tolist() == list(range(episode.steps + 1))
        assert np.all(episode.observations[:, 0] == episode.env)
        assert np.all(episode.observations[:, 1] == episode.index)
        assert episode.actions.shape == (episode.steps, 2)


def test_only_playing_environments_are_planned_and_reset():
    policy = Expert(4)
    drain(run_episodes(CountdownEnv([[4, 4], [12]]), policy, 3, seed=0))
    assert policy.planned == [[0, 1], [0, 1], [1]]
    assert policy.resets == [[0, 1], [0]]


def test_fewer_episodes_than_environments():
    episodes = drain(run_episodes(PointEnv(4), Expert(), 2, seed=0))
    assert [(e.env, e.index) for e in episodes] == [(0, 0), (1, 0)]


def test_actions_explain_the_observations():
    for episode in drain(run_episodes(PointEnv(3), Expert(), 7, seed=5)):
        point = episode.observations[:-1, :2]
        moved = np.clip(point + STEP_LENGTH * episode.actions, -1, 1)
        np.testing.assert_allclose(episode.observations[1:, :2], moved, atol=1e-6)
        assert episode.success


def test_same_seed_same_bits_and_start_states_do_not_depend_on_the_policy():
    first, again = (drain(run_episodes(PointEnv(3), Expert(), 9, seed=5)) for _ in range(2))
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    other = drain(run_episodes(PointEnv(3), Expert(chunk_length=1), 9, seed=5))
    assert all(np.array_equal(a.observations[0], b.observations[0]) for a, b in zip(first, other, strict=True))
    elsewhere = drain(run_episodes(PointEnv(3), Expert(), 9, seed=6))
    assert not any(same(a, b) for a, b in zip(first, elsewhere, strict=True))


def test_progress_counts_up_to_all_episodes():
    reports = list(run_episodes(PointEnv(3), Expert(), 7, seed=5, stage="prior"))
    assert [r.done for r in reports] == sorted(r.done for r in reports)
    last = reports[-1]
    assert (last.stage, last.done, last.total, last.unit) == ("prior", 7, 7, "episodes")
    assert last.metrics == {"success": 1.0}


def test_no_episodes_is_refused():
    with pytest.raises(UsageError, match="episodes is 0"):
        drain(run_episodes(PointEnv(2), Expert(), 0, seed=0))


def test_a_plan_of_another_shape_is_refused():
    class Wrong(Expert):
        def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
            return np.zeros((len(ids), self.chunk_length, 4), np.float32)

    with pytest.raises(UsageError, match=r"\[2, 4, 4\].*\[2, 4, 2\]"):
        drain(run_episodes(PointEnv(2), Wrong(), 2, seed=0))
