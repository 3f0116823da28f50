"""Hold a point at the origin: dense rewards, a failure, a rule for it, and small enough to be learned in seconds."""

from dataclasses import replace

import numpy as np
import torch

from expertgen.dynamics.model import ModelConfig
from expertgen.dynamics.termination import TERMINATIONS
from expertgen.dynamics.training import ModelTrainingConfig
from expertgen.dynamics.weighting.density_ratio import DensityRatioConfig
from expertgen.dynamics.weighting.occupancy import OccupancyConfig
from expertgen.mbrl.mbpo import MbpoConfig
from expertgen.mbrl.planner import PlannerConfig
from expertgen.mbrl.run import MbrlConfig
from expertgen.rl.sac_returns import ReturnSacConfig
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.episodes import Episodes
from tests.toys import point_task

SPEED, EDGE = 0.2, 1.2

TASK = replace(
    point_task(horizon=10), id="toy-hold", simulator="tests.mbrl.toy:HoldEnv", observation_size=2, success="", fields=()
)

CART = replace(
    TASK, id="toy-cart", simulator="gymnasium", simulator_id="CartPole-v1", observation_size=4, action_names=("push",)
)
"""A task whose actions are discrete."""


class HoldEnv(TaskEnv):
    """A point that starts within 1 of the origin in both directions; it is lost where it comes to 1.2."""

    def __init__(self, task=TASK, num_envs=1, threads=1):
        super().__init__(task, num_envs)
        self._episodes = Episodes(task, num_envs)

    def reset(self, *, seed=None, options=None):
        ids = self._episodes.to_reset(seed, options)
        if seed is not None:
            self._draw = np.random.default_rng(seed)
        self._episodes.begin(ids, self._draw.uniform(-1, 1, (len(ids), 2)).astype(np.float32))
        return self._episodes.reset_result()

    def step(self, actions):
        ids = self._episodes.running()
        point = self._episodes.reset_result()[0][ids] + SPEED * self._episodes.actions(actions, ids)
        lost = lost_points(point)
        reward = 1 - np.linalg.norm(point, axis=1)
        self._episodes.record(ids, point, reward, np.zeros(len(ids), bool), lost)
        return self._episodes.step_result()


def lost_points(point):
    return (np.abs(point) > EDGE).any(axis=-1)


def lost(observation, action, next_observation):
    """The termination rule."""
    return (next_observation.abs() > EDGE).any(dim=-1)


# For the settings below; whoever uses them registers it again (conftest.py), so that no other test sees it.
TERMINATIONS[TASK.id] = lost


class Exact:
    """The toy itself, where a model is expected; it has the action's effect times `gain`."""

    def __init__(self, gain=1.0):
        self.gain = gain
        self.rows = []

    def predict(self, observation, action, generator):
        self.rows.append(len(observation))
        point = observation + self.gain * SPEED * action
        return point, 1 - point.norm(dim=1)


class Towards:
    """A policy that goes the same way from everywhere."""

    def __init__(self, *action):
        self.action = torch.tensor(action)

    def sample(self, observation, generator):
        return self.action.expand(len(observation), -1)

    def distribution(self, observation):
        return self.action.expand(len(observation), -1), torch.zeros(len(observation), len(self.action))


LEARNS = MbrlConfig(
    "tests.mbrl.toy:TASK",
    final_episodes=32,
    mbpo=MbpoConfig(
        env_steps=300,
        exploration_steps=150,
        epoch_steps=150,
        model_every=75,
        rollout_transitions=500,
        rollout_schedule=(0, 4, 1, 3),
        updates_per_step=4,
        batch_size=64,
        evaluation_episodes=16,
    ),
    agent=ReturnSacConfig(width=32, depth=2, learning_rate=3e-3, discount=0.9, target_rate=0.02, target_entropy=-1.0),
    model=ModelConfig(members=3, elites=2, width=32, depth=2),
    training=ModelTrainingConfig(batch_size=64, max_steps=200, learning_rate=3e-3),
    ratio=DensityRatioConfig(newest=100, steps=20, batch_size=32, width=16),
    tom=OccupancyConfig(steps=20, batch_size=32, width=16),
    planner=PlannerConfig(horizon=3, candidates=32, proposals=4, elites=8, iterations=2),
)
"""Learns in seconds."""

TINY = replace(
    LEARNS,
    final_episodes=4,
    mbpo=replace(
        LEARNS.mbpo,
        env_steps=70,
        exploration_steps=40,
        epoch_steps=20,
        model_every=10,
        rollout_transitions=30,
        updates_per_step=1,
        batch_size=16,
        evaluation_episodes=4,
    ),
    agent=replace(LEARNS.agent, width=8),
    model=replace(LEARNS.model, width=8),
    training=replace(LEARNS.training, max_steps=10, min_epoch_steps=5, batch_size=16),
    ratio=replace(LEARNS.ratio, steps=3, newest=10),
    tom=replace(LEARNS.tom, steps=3),
)
"""Does everything a few times and learns nothing."""

del TERMINATIONS[TASK.id]
