"""What every adapter must remember about its `N` episodes, written once: flags, last observations, time limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from expertgen.errors import UsageError
from expertgen.tasks.spec import TaskSpec

StepResult = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]


def cohort(episodes: int, num_envs: int) -> np.ndarray:
    """How many episodes each environment plays, int64 `[num_envs]`: equal shares, the first environments one more."""
    return np.full(num_envs, episodes // num_envs) + (np.arange(num_envs) < episodes % num_envs)


class Episodes:
    """The memory of `N` episodes between the calls of the environment contract.

    An adapter asks it which environments to simulate (`running`), tells it what came out (`begin`, `record`), and
    hands on what it answers. Ended episodes thereby keep their terminal observation and flags, and the time limit is
    the same code everywhere.

    Attributes:
        steps: int64 `[N]`, control steps since the last reset.
        begun: whether there was a first reset.
    """

    def __init__(self, task: TaskSpec, num_envs: int) -> None:
        if num_envs < 1:
            raise UsageError(f"num_envs must be at least 1, got {num_envs}")
        self.horizon = task.horizon
        self.action_shape = (num_envs, task.action_size)
        self.steps = np.zeros(num_envs, np.int64)
        self._observation = np.zeros((num_envs, task.observation_size), np.float32)
        self._reward = np.zeros(num_envs, np.float32)
        self._success = np.zeros(num_envs, bool)
        self._terminated = np.zeros(num_envs, bool)
        self._truncated = np.zeros(num_envs, bool)
        self.begun = False

    def to_reset(self, seed: int | None, options: dict[str, Any] | None) -> np.ndarray:
        """Returns the indices that a call of `reset(seed=seed, options=options)` means.

        Raises:
            UsageError: for a mask of the wrong shape or type, and for a mask together with a seed (which starts all
                copies afresh) or before the first full reset.
        """
        mask = (options or {}).get("reset_mask")
        if mask is None:
            return np.arange(len(self.steps))
        if seed is not None:
            raise UsageError("reset: give a seed (it starts all environments afresh) or a reset_mask, not both")
        if not self.begun:
            raise UsageError("reset: the first reset starts all environments; call it without a reset_mask")
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != self.steps.shape:
            raise UsageError(f"reset_mask must be bool {list(self.steps.shape)}, got {mask.dtype} {list(mask.shape)}")
        return np.flatnonzero(mask)

    def running(self) -> np.ndarray:
        """Returns the indices of the episodes that have not ended, and sets the reward of the others to 0."""
        if not self.begun:
            raise UsageError("step was called before the first reset")
        self._reward[:] = 0.0
        return np.flatnonzero(~(self._terminated | self._truncated))

    def actions(self, actions: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Returns the rows `ids` of an action batch, clipped to [-1, 1].

        Raises:
            UsageError: if the batch has the wrong shape or a row that would be simulated is not finite.
        """
        actions = np.asarray(actions, np.float32)
        if actions.shape != self.action_shape:
            raise UsageError(f"actions must have the shape {list(self.action_shape)}, got {list(actions.shape)}")
        rows = actions[ids]
        if not np.isfinite(rows).all():
            bad = ids[~np.isfinite(rows).all(axis=1)]
            raise UsageError(f"action of environment {bad[0]} is not finite: {actions[bad[0]].tolist()}")
        return np.clip(rows, -1.0, 1.0)

    def begin(self, ids: np.ndarray, observation: np.ndarray) -> None:
        """New episodes in the environments `ids` `[n]` start with `observation` `[n, D]`."""
        self.begun = True
        self._observation[ids] = observation
        self._reward[ids] = 0.0
        for flags in (self._success, self._terminated, self._truncated):
            flags[ids] = False
        self.steps[ids] = 0

    def record(
        self, ids: np.ndarray, observation: np.ndarray, reward: np.ndarray, success: np.ndarray, failure: np.ndarray
    ) -> None:
        """One control step was run in the environments `ids` `[n]`.

        Args:
            ids: indices `[n]`.
            observation: `[n, D]`.
            reward: `[n]`, the simulator's.
            success: bool `[n]`.
            failure: bool `[n]`, the episode is over without success (a fall), whatever the time.
        """
        self.steps[ids] += 1
        self._observation[ids] = observation
        self._reward[ids] = reward
        self._success[ids] = success
        self._terminated[ids] = success | failure
        self._truncated[ids] = (self.steps[ids] >= self.horizon) & ~self._terminated[ids]

    def reset_result(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Returns what `reset` returns (copies)."""
        return self._observation.copy(), {"success": self._success.copy()}

    def step_result(self) -> StepResult:
        """Returns what `step` returns (copies)."""
        info = {"success": self._success.copy()}
        return self._observation.copy(), self._reward.copy(), self._terminated.copy(), self._truncated.copy(), info
