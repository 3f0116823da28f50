"""The one environment contract: a Gymnasium vector environment that never resets by itself.

Nothing else is an environment here. Every simulator adapter subclasses `TaskEnv`, proves itself with
`expertgen.tasks.conformance.check_environment`, and thereby works with every stage.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from expertgen.tasks.spec import TaskSpec


class TaskEnv(VectorEnv):
    """`N` copies of one task with explicit resets.

    On top of `gymnasium.vector.VectorEnv` with `AutoresetMode.DISABLED` it promises:

    - observations are float32 `[N, observation_size]`, actions float32 `[N, A]` in [-1, 1];
    - `reset(seed=s)` starts all copies afresh, and the same seed gives the same bits from then on, whatever the number
      of threads; `reset(options={"reset_mask": mask})` starts new episodes only where the bool mask `[N]` is set, and
      the others keep their observation;
    - success ends an episode: `terminated` is set at success (or failure), `truncated` at the time limit
      `task.horizon`, never both;
    - `info["success"]` is a bool array `[N]` after `reset` and `step`;
    - an environment whose episode has ended stays as it is until it is reset: it keeps its terminal observation,
      returns reward 0, repeats its flags, and costs no simulation;
    - rewards are the simulator's own (dense or sparse), at most `task.largest_reward` where that is given; nothing in
      steering reads them.

    Attributes:
        task: what is being done.
        num_envs: `N`.
    """

    task: TaskSpec

    def __init__(self, task: TaskSpec, num_envs: int) -> None:
        self.task = task
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED}
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (task.observation_size,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (task.action_size,), np.float32)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)

    @abstractmethod
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts new episodes: all of them, or those in `options["reset_mask"]`."""

    @abstractmethod
    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Runs one control step in every environment whose episode has not ended.

        Args:
            actions: float32 `[N, A]`; rows of ended episodes are ignored.

        Returns:
            observation `[N, observation_size]`, reward `[N]`, terminated `[N]`, truncated `[N]` and an info dict with
            `"success"` `[N]`.
        """
