"""Any Gymnasium environment behind the contract: scaling, flattening, success rules, refusals."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.tasks.conformance import check_environment
from expertgen.tasks.gymnasium_env import GymnasiumEnv
from expertgen.tasks.spec import TaskSpec


class Line(gymnasium.Env):
    """A point on a line in [-2, 2], moved by actions in [0, 4]; the observation is a dictionary."""

    observation_space = gymnasium.spaces.Dict(
        {"at": gymnasium.spaces.Box(-9, 9, (1,)), "last": gymnasium.spaces.Box(-9, 9, (1,))}
    )
    action_space = gymnasium.spaces.Box(0.0, 4.0, (1,), np.float64)

    def __init__(self, says_success=True):
        self.says_success = says_success

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.last = self.np_random.uniform(-2, 2), 0.0
        return self.observation(), {}

    def step(self, action):
        self.last = action[0]
        self.at += 0.1 * (action[0] - 2.0)
        info = {"success": self.at > 3} if self.says_success else {}
        return self.observation(), self.last, self.at < -3, False, info

    def observation(self):
        return {"at": np.array([self.at], np.float32), "last": np.array([self.last], np.float32)}


gymnasium.register("Line-v0", Line, max_episode_steps=3)
gymnasium.register("Mute-v0", lambda: Line(says_success=False))

TASK = TaskSpec(
    id="line",
    simulator="gymnasium",
    simulator_id="Line-v0",
    description="Go to the right.",
    success="further than 3",
    observation_size=2,
    action_names=("speed",),
    action_unit="2 m/s",
    control_rate=10.0,
    horizon=60,
)


def test_conforms():
    check_environment(lambda: GymnasiumEnv(replace(TASK, horizon=8), 3))


def test_actions_are_scaled_and_observations_flattened():
    env = GymnasiumEnv(TASK, 3)
    start, _ = env.reset(seed=0)
    observation, reward, *_ = env.step(np.array([[-1.0], [0.5], [1.0]], np.float32))
    np.testing.assert_allclose(observation[:, 1], [0.0, 3.0, 4.0])
    np.testing.assert_allclose(observation[:, 0] - start[:, 0], [-0.2, 0.1, 0.2], atol=1e-6)
    np.testing.assert_allclose(reward, [0.0, 3.0, 4.0])


def test_success_failure_and_the_tasks_own_horizon():
    env = GymnasiumEnv(TASK, 3)
    env.reset(seed=0)
    for _ in range(60):  # the registered limit of 3 steps must not count
        _, _, terminated, truncated, info = env.step(np.array([[1.0], [-1.0], [0.0]], np.float32))
    assert info["success"].tolist() == [True, False, False]
    assert terminated.tolist() == [True, True, False]
    assert truncated.tolist() == [False, False, True]


def test_a_success_rule_of_the_users_own():
    task = replace(TASK, simulator_id="Mute-v0")
    env = GymnasiumEnv(task, 1)
    env.reset(seed=0)
    with pytest.raises(UsageError, match="pass a success rule"):
        env.step(np.zeros((1, 1), np.float32))
    env = GymnasiumEnv(task, 1, success=lambda observation, info: bool(observation[1] > 3.5))
    env.reset(seed=0)
    assert not env.step(np.zeros((1, 1), np.float32))[4]["success"][0]
    assert env.step(np.ones((1, 1), np.float32))[4]["success"][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"simulator_id": "Nothing-v0"}, "Gymnasium cannot make 'Nothing-v0' for task 'line'"),
        ({"observation_size": 3}, "observation_size is 2, not 3"),
        ({"action_names": ("a", "b")}, r"names 2 actions, the simulator takes \[1\]"),
        (
            {"simulator_id": "CartPole-v1", "observation_size": 4},
            "needs a bounded continuous action space, got Discrete",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        GymnasiumEnv(replace(TASK, **changes), 1)
