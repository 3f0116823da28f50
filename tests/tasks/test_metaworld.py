"""Python MetaWorld: our resets and frames against MetaWorld's own, and one environment against another."""

import numpy as np
import pytest

metaworld = pytest.importorskip("metaworld", reason="needs the extra 'vision'")
mujoco = pytest.importorskip("mujoco", reason="needs the extra 'vision'")

from expertgen.errors import UsageError
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.metaworld_specs import metaworld_name
from expertgen.tasks.registry import get_task

# One task of each kind: free object, no object state, object on a moved body (all hand steps), two objects, contact lists.
KINDS = ("peg-insert-side", "dial-turn", "box-close", "handle-press", "stick-push", "shelf-place")


def original(name):
    """MetaWorld's own environment, goal visible, untouched by the adapter."""
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    env = ALL_V3_ENVIRONMENTS[name]()
    env._partially_observable = False
    del env.sawyer_observation_space
    env._set_task_called = True
    env._freeze_rand_vec = True
    return env


@pytest.mark.parametrize("name", KINDS)
def test_reset_and_steps_are_bit_equal_to_metaworlds_own(name):
    task = get_task(name)
    env = MetaWorldEnv(task, 2)
    rng = np.random.default_rng(0)
    for _ in range(2):
        observation, _ = env.reset(seed=int(rng.integers(100)))
        reference = original(metaworld_name(task))
        reference._last_rand_vec = env.starts()[1]
        expected, _ = reference.reset()
        np.testing.assert_array_equal(observation[1], expected.astype(np.float32))
        np.testing.assert_array_equal(env.datas[1].qpos, reference.data.qpos)
        np.testing.assert_array_equal(env.datas[1].qvel, reference.data.qvel)
        for _ in range(25):
            action = rng.uniform(-1, 1, 4).astype(np.float32)
            observation, reward, _, _, info = env.step(np.stack([-action, action]))
            expected, expected_reward, _, _, expected_info = reference.step(action)
            np.testing.assert_array_equal(observation[1], expected.astype(np.float32))
            assert reward[1] == np.float32(expected_reward)
            assert info["success"][1] == bool(expected_info["success"])
