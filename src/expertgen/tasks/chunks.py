"""Running a chunk: `H` control steps planned at once become one decision-level transition.

time      t        t+1       ...      t+k-1     t+H-1
chunk   [ a_0      a_1       ...      a_k-1  |  ...   a_H-1 ]
run       x         x                   x       -       -       the episode ended at step k: the rest is not run
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expertgen.tasks.environment import TaskEnv


@dataclass(frozen=True)
class ChunkOutcome:
    """What came of one chunk in each of `N` environments.

    Attributes:
        observations: float32 `[N, H, D]`, what was seen after each step; rows after the last step run repeat it.
        next_observation: float32 `[N, D]`, the true observation after the last step run (never one after a reset).
        reward: float32 `[N]`, plain sum of the simulator's rewards over the steps that were run.
        success: bool `[N]`.
        terminated: bool `[N]`, success or failure: no bootstrap.
        truncated: bool `[N]`, time limit: bootstrap from `next_observation`.
        steps: int64 `[N]`, control steps really run; 0 where the episode had ended before.
    """

    observations: np.ndarray
    next_observation: np.ndarray
    reward: np.ndarray
    success: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    steps: np.ndarray

    @property
    def ended(self) -> np.ndarray:
        """Bool `[N]`: the episode is over, for whatever reason."""
        return self.terminated | self.truncated


def execute_chunk(env: TaskEnv, chunk: np.ndarray, ended: np.ndarray) -> ChunkOutcome:
    """Runs a chunk open loop; each environment stops at success, termination or its time limit.

    Args:
        env: an environment of the contract.
        chunk: `[N, H, A]`, actions in [-1, 1].
        ended: bool `[N]`, episodes that had ended before; they run no step.

    Returns:
        the decision-level outcome.
    """
    steps = np.zeros(env.num_envs, np.int64)
    reward = np.zeros(env.num_envs, np.float32)
    running = ~ended
    observations = np.empty((*chunk.shape[:2], env.task.observation_size), np.float32)
    for h, action in enumerate(np.moveaxis(chunk, 1, 0)):
        observation, step_reward, terminated, truncated, info = env.step(np.ascontiguousarray(action, np.float32))
        observations[:, h:] = observation[:, None]
        steps += running
        reward += np.where(running, step_reward, 0.0)
        running = running & ~(terminated | truncated)
        if not running.any():
            break
    return ChunkOutcome(observations, observation, reward, info["success"], terminated, truncated, steps)
