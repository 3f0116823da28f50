"""A toy task for tests of every layer, without a simulator: a point in the plane has to reach a goal."""

from __future__ import annotations

from typing import Any

import numpy as np

from expertgen.demos.store import Demo, DemoSet, fields_of
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.spec import ObservationField, TaskSpec

STEP_LENGTH = 0.1
"""How far an action of 1 moves the point [m]."""


def point_task(horizon: int = 40) -> TaskSpec:
    """The toy's description; the point and the goal lie in the square [-1, 1]^2, in metres."""
    return TaskSpec(
        id="toy-point",
        simulator="toy",
        simulator_id="point",
        description="Move the point to the goal.",
        success="The point is closer to the goal than the radius.",
        observation_size=4,
        action_names=("x", "y"),
        action_unit="0.1 m per control step",
        control_rate=10.0,
        horizon=horizon,
        fields=(
            ObservationField("point_position", 0, 2, "m", "base", "Where the point is."),
            ObservationField("goal_position", 2, 4, "m", "base", "Where it has to go."),
        ),
        observation_groups={"expert": ("point_position", "goal_position"), "student": ("point_position",)},
    )


class PointEnv(TaskEnv):
    """`N` points with velocity control. Each has its own random stream: its episodes do not depend on others' resets.

    Args:
        num_envs: `N`.
        radius: success distance [m].
        task: description, as `point_task` gives it.
    """

    def __init__(self, num_envs: int, radius: float = 0.05, task: TaskSpec | None = None) -> None:
        super().__init__(task or point_task(), num_envs)
        self.radius = radius
        self._generators = [np.random.default_rng([0, i]) for i in range(num_envs)]
        self._observation = np.zeros((num_envs, 4), np.float32)
        self._steps = np.zeros(num_envs, np.int64)
        self._success = np.zeros(num_envs, bool)
        self._truncated = np.zeros(num_envs, bool)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        mask = (options or {}).get("reset_mask")
        mask = np.ones(self.num_envs, bool) if mask is None else mask
        if seed is not None:
            self._generators = [np.random.default_rng([seed, i]) for i in range(self.num_envs)]
        for i in np.flatnonzero(mask):
            self._observation[i] = self._generators[i].uniform(-1, 1, 4)
        self._steps[mask] = 0
        self._success[mask] = self._truncated[mask] = False
        return self._observation.copy(), {"success": self._success.copy()}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        running = ~(self._success | self._truncated)
        point, goal = self._observation[:, :2], self._observation[:, 2:]
        point[running] = np.clip(point[running] + STEP_LENGTH * np.clip(actions[running], -1, 1), -1, 1)
        self._steps[running] += 1
        distance = np.linalg.norm(point - goal, axis=1)
        self._success[running] = distance[running] < self.radius
        self._truncated[running] = ~self._success[running] & (self._steps[running] >= self.task.horizon)
        reward = np.where(running, -distance, 0.0).astype(np.float32)
        info = {"success": self._success.copy()}
        return self._observation.copy(), reward, self._success.copy(), self._truncated.copy(), info


def point_action(observation: np.ndarray) -> np.ndarray:
    """The expert: straight to the goal. `[..., 4]` → float32 `[..., 2]`."""
    towards = observation[..., 2:] - observation[..., :2]
    return np.clip(towards / STEP_LENGTH, -1, 1).astype(np.float32)


def make_point_env(task: TaskSpec, num_envs: int, threads: int) -> PointEnv:
    """The simulator factory of the toy: `TaskSpec.simulator` names it as `"tests.toys:make_point_env"`."""
    return PointEnv(num_envs, task=task)


def point_demos(episodes: int, seed: int, offset: float = 0.0) -> DemoSet:
    """Demonstrations of the toy by somebody who sees the goal in a wrong place, another one in every episode.

    Args:
        episodes: how many.
        seed: of start states and mistakes.
        offset: standard deviation of the mistake [m], in each direction.
    """
    env = PointEnv(episodes)
    observation, _ = env.reset(seed=seed)
    mistake = np.zeros((episodes, 4), np.float32)
    mistake[:, 2:] = np.random.default_rng(seed).normal(0, offset, (episodes, 2))
    observations, actions, rewards, running = [], [], [], []
    ended = success = np.zeros(episodes, bool)
    while not ended.all():
        action = point_action(observation + mistake)
        observations.append(observation)
        actions.append(action)
        running.append(~ended)
        observation, reward, terminated, truncated, info = env.step(action)
        rewards.append(reward)
        ended, success = terminated | truncated, info["success"]
    rows = (np.stack(columns, axis=1) for columns in (observations, actions, rewards, running))
    demos = tuple(
        Demo(o[run], a[run], r[run], bool(s), seed, "toy") for o, a, r, run, s in zip(*rows, success, strict=True)
    )
    return DemoSet(env.task.id, fields_of(env.task), demos)
