"""Do EnvPool and Python MetaWorld compute the same transitions? Same start, same actions, compare."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from expertgen.errors import UsageError
from expertgen.tasks.envpool_env import EnvPoolEnv
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.spec import TaskSpec

_FRAME_AND_GOAL = np.r_[0:18, 36:39]
_FRAME = slice(0, 18)
_PERTURBATION = 1e-3
"""Step of the finite differences [m]: far above the rounding of float32, far below the size of the start region."""


@dataclass(frozen=True)
class Agreement:
    """Largest differences between the two simulators in any column; the median over episodes [m, or 1].

    Attributes:
        task: name of the task.
        start: in the start observation, newest frame and goal.
        first_step: in the newest frame after one control step.
        last_step: in the newest frame after all control steps that were run.
        reward: in the reward, over all steps.
        episodes: how many episodes were compared; fewer than asked for where MetaWorld rejects EnvPool's start.
    """

    task: str
    start: float
    first_step: float
    last_step: float
    reward: float
    episodes: int


def compare_simulators(task: TaskSpec, episodes: int = 5, steps: int = 50, seed: int = 0) -> Agreement:
    """Plays the same random actions from the same starts in both simulators.

    EnvPool's episodes follow each other in one environment, so that defects behind the first reset show.

    Args:
        task: a MetaWorld task.
        episodes: how many episodes.
        steps: control steps of each, fewer where an episode ends before.
        seed: of starts and actions.
    """
    task = replace(task, horizon=steps + 1)
    envpool, metaworld = EnvPoolEnv(task, 1), MetaWorldEnv(task, 1)
    metaworld.reset(seed=seed)
    rng = np.random.default_rng(seed)
    rows = []
    for episode in range(episodes):
        observation, _ = envpool.reset(seed=seed if episode == 0 else None)
        try:
            start = match_start(metaworld, observation[0])
        except UsageError:
            continue
        difference = np.abs(observation[0] - metaworld.reset_to([start])[0])
        frames, rewards = [], []
        for _ in range(steps):
            action = rng.uniform(-1, 1, (1, task.action_size)).astype(np.float32)
            one, two = envpool.step(action), metaworld.step(action)
            frames.append(np.abs(one[0] - two[0])[0, _FRAME].max())
            rewards.append(abs(one[1][0] - two[1][0]))
            if one[2][0] or two[2][0]:
                break
        rows.append((difference[_FRAME_AND_GOAL].max(), frames[0], frames[-1], max(rewards)))
    if not rows:
        return Agreement(task.id, np.nan, np.nan, np.nan, np.nan, 0)
    return Agreement(task.id, *(float(value) for value in np.median(rows, axis=0)), episodes=len(rows))


def match_start(env: MetaWorldEnv, observation: np.ndarray, iterations: int = 4) -> np.ndarray:
    """Finds the random vector from which MetaWorld starts with an observation that another simulator shows.

    Gauss-Newton on the columns of the newest frame and the goal, which move with the vector one to one.

    Args:
        env: the environment whose first copy is tried out; it has been reset once.
        observation: `[39]`, the start observation to be matched.
        iterations: Gauss-Newton iterations.

    Returns:
        the vector, for `env.reset_to`.

    Raises:
        UsageError: if MetaWorld rejects the vector.
    """

    def shown(vector: np.ndarray) -> np.ndarray:
        return env.reset_to([vector])[0, _FRAME_AND_GOAL].astype(np.float64)

    env.reset()
    vector = env.starts()[0]
    wanted = observation[_FRAME_AND_GOAL].astype(np.float64)
    for _ in range(iterations):
        now = shown(vector)
        steps = _PERTURBATION * np.eye(len(vector))
        jacobian = np.stack([shown(vector + step) - now for step in steps], axis=1) / _PERTURBATION
        jacobian[np.abs(jacobian) < 0.01] = 0.0  # rounding
        vector = vector + np.linalg.lstsq(jacobian, wanted - now, rcond=1e-6)[0]
    return vector
