"""Tasks in any registered Gymnasium environment whose `info` says `success`, or for which the user can say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from expertgen.errors import UsageError
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.episodes import Episodes, StepResult
from expertgen.tasks.spec import TaskSpec

SuccessRule = Callable[[np.ndarray, dict[str, Any]], bool]
"""Says whether an episode has succeeded, from the flat observation `[D]` and the `info` of a step."""


class GymnasiumEnv(TaskEnv):
    """`N` Gymnasium environments in this process, stepped one after the other.

    Observations are flattened (`gymnasium.spaces.flatten`), actions are scaled from [-1, 1] to the bounds of the action
    space, and time limits of the environment itself are left off: the task's horizon is the only one.

    Args:
        task: a task whose `simulator_id` is a Gymnasium id; `"module:id"` imports the module that registers it.
        num_envs: number of environments `N`.
        first_index: index of the first environment, where several processes share the work.
        success: the success rule; by default `info["success"]`, or `info["is_success"]` as some packages call it. A
            task with an empty `success` text never succeeds.

    Raises:
        UsageError: if the environment cannot be made or does not fit the task's sizes, and at the first step if nothing
            says whether it succeeded.
    """

    def __init__(
        self, task: TaskSpec, num_envs: int, first_index: int = 0, *, success: SuccessRule | None = None
    ) -> None:
        super().__init__(task, num_envs)
        self._episodes = Episodes(task, num_envs)
        self._first_index = first_index
        self._success = success or (_success_in_info if task.success else _never)
        self._envs = [_make(task) for _ in range(num_envs)]
        space = self._envs[0].action_space
        assert isinstance(space, gymnasium.spaces.Box)
        self._action_space = space
        self._center, self._half_range = (space.high + space.low) / 2.0, (space.high - space.low) / 2.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts new episodes; see `TaskEnv.reset`. Without a seed, the first reset takes one from the system."""
        ids = self._episodes.to_reset(seed, options)
        for i in ids:
            observation, _ = self._envs[i].reset(seed=None if seed is None else _seed(seed, self._first_index + int(i)))
            self._episodes.begin(np.array([i]), self._flat(observation)[None])
        return self._episodes.reset_result()

    def step(self, actions: np.ndarray) -> StepResult:
        """Runs one control step in every environment whose episode has not ended; see `TaskEnv.step`."""
        ids = self._episodes.running()
        for i, row in zip(ids, self._episodes.actions(actions, ids), strict=True):
            action = (self._center + self._half_range * row).astype(self._action_space.dtype)
            raw, reward, terminated, _, info = self._envs[i].step(action)
            observation = self._flat(raw)
            success = bool(self._success(observation, info))
            self._episodes.record(
                np.array([i]), observation[None], np.array([reward]), np.array([success]), np.array([terminated])
            )
        return self._episodes.step_result()

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the environments."""
        for env in self._envs:
            env.close()

    def _flat(self, observation: Any) -> np.ndarray:
        return np.asarray(gymnasium.spaces.flatten(self._envs[0].observation_space, observation), np.float32)


def _make(task: TaskSpec) -> gymnasium.Env:
    try:
        env = gymnasium.make(task.simulator_id, max_episode_steps=-1)
    except (gymnasium.error.Error, ImportError) as error:
        raise UsageError(f"Gymnasium cannot make {task.simulator_id!r} for task {task.id!r}: {error}") from error
    observation_size = gymnasium.spaces.flatdim(env.observation_space)
    if observation_size != task.observation_size:
        raise UsageError(f"task {task.id!r}: observation_size is {observation_size}, not {task.observation_size}")
    space = env.action_space
    if not isinstance(space, gymnasium.spaces.Box) or not space.is_bounded():
        raise UsageError(f"task {task.id!r} needs a bounded continuous action space, got {space}")
    if space.shape != (task.action_size,):
        raise UsageError(f"task {task.id!r} names {task.action_size} actions, the simulator takes {list(space.shape)}")
    return env


def _seed(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def _success_in_info(observation: np.ndarray, info: dict[str, Any]) -> bool:
    for key in ("success", "is_success"):
        if key in info:
            return bool(info[key])
    raise UsageError("the environment has no 'success' in info: pass a success rule to GymnasiumEnv")


def _never(observation: np.ndarray, info: dict[str, Any]) -> bool:
    return False
