"""Tasks in EnvPool: batched C++ simulators (MetaWorld, Adroit, Fetch, ALOHA, Gym MuJoCo) behind one contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from expertgen.runs.machine import release_memory
from expertgen.tasks import bimanual
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.episodes import Episodes, StepResult
from expertgen.tasks.spec import TaskSpec

_NO_TIME_LIMIT = 2**30
"""Steps after which EnvPool itself would end an episode: never, the adapter keeps the time limit."""

_SUCCESS_RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {bimanual.SIMULATOR_ID: bimanual.inserted}
"""Success, bool `[n]`, from observations `[n, D]`, where EnvPool does not tell it."""


class EnvPoolEnv(TaskEnv):
    """`N` environments in one EnvPool.

    EnvPool differs from the contract in five ways, all settled here, as are truncated observations:

    - it cannot be seeded again: a seeded reset makes a new pool (for MetaWorld about 30 ms per environment);
    - it seeds environment `i` with `seed + i`, so that neighbouring seeds would share episodes: each environment gets a
      seed of its own instead, the `i`-th word of NumPy's seed sequence of `seed`;
    - it resets by itself on the step after an end: ended environments are not stepped at all, which is also where the
      speed comes from when episodes end at different times;
    - some action spaces are not [-1, 1] (humanoid, pusher): actions are scaled to them;
    - one task with a success rule does not tell success: the rule is applied to its observation;
    - Fetch shows its goal apart from the rest: it is appended, and what is left of `achieved_goal` is in the rest.

    Args:
        task: a task whose `simulator_id` is an EnvPool id.
        num_envs: number of environments `N`.
        threads: simulation threads. The results do not depend on it.
    """

    def __init__(self, task: TaskSpec, num_envs: int, threads: int = 1) -> None:
        super().__init__(task, num_envs)
        self._threads = threads
        self._episodes = Episodes(task, num_envs)
        self._pool: Any = None
        self._center = self._half_range = np.zeros(task.action_size)
        self._seen = slice(task.observation_size if task.truncated_observation else None)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts new episodes; see `TaskEnv.reset`. Without a seed, the first reset takes one from the system."""
        ids = self._episodes.to_reset(seed, options)
        if seed is not None or self._pool is None:
            self._free()  # before the new pool takes its memory
            self._pool = self._make_pool(seed)
        if len(ids):
            observation, info = self._pool.reset(ids.astype(np.int32))
            self._episodes.begin(info["env_id"], _flat(observation)[:, self._seen])
        return self._episodes.reset_result()

    def step(self, actions: np.ndarray) -> StepResult:
        """Runs one control step in every environment whose episode has not ended; see `TaskEnv.step`."""
        ids = self._episodes.running()
        if len(ids):
            scaled = self._center + self._half_range * self._episodes.actions(actions, ids)
            observation, reward, terminated, _, info = self._pool.step(scaled, ids.astype(np.int32))
            flat = _flat(observation)
            success = self._success(flat, info)
            self._episodes.record(info["env_id"], flat[:, self._seen], reward, success, terminated)
        return self._episodes.step_result()

    def _success(self, observation: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        """Success, bool `[n]`; MetaWorld and Adroit call it one thing and Fetch another, locomotion has none."""
        if self.task.simulator_id in _SUCCESS_RULES:
            return _SUCCESS_RULES[self.task.simulator_id](observation)
        told = info.get("success", info.get("is_success"))
        return np.zeros(len(observation), bool) if told is None else np.asarray(told, bool)

    def close_extras(self, **kwargs: Any) -> None:
        """Frees the pool."""
        self._free()

    def _free(self) -> None:
        """Frees the pool and its memory, some 15 MB for each MetaWorld environment."""
        self._pool = None
        release_memory()

    def _make_pool(self, seed: int | None) -> Any:
        import envpool  # takes seconds, and workers of other simulators do without it

        words = np.random.SeedSequence(seed).generate_state(self.num_envs) >> 1
        pool = envpool.make_gymnasium(
            self.task.simulator_id,
            num_envs=self.num_envs,
            num_threads=self._threads,
            env_seed=[int(word) for word in words],
            max_episode_steps=_NO_TIME_LIMIT,
            **_pool_options(self.task.simulator_id),
        )
        space = pool.action_space
        self._center = (space.high + space.low) / 2.0
        self._half_range = (space.high - space.low) / 2.0
        return pool


def _pool_options(simulator_id: str) -> dict[str, Any]:
    """What EnvPool is told about a task, beside what it is told about every one."""
    if simulator_id == bimanual.SIMULATOR_ID:
        return bimanual.pool_options()
    return {"partially_observable": False} if simulator_id.startswith("MetaWorld/") else {}


def _flat(observation: np.ndarray | dict[str, np.ndarray]) -> np.ndarray:
    """Observations `[n, D]`; the goal of tasks that show it apart comes last."""
    if isinstance(observation, dict):
        return np.concatenate([observation["observation"], observation["desired_goal"]], axis=1)
    return observation
