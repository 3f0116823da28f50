"""The task for two arms: its model, its success rule, and what its fields say they are."""

from dataclasses import replace

import envpool
import numpy as np

from expertgen.tasks.bimanual import SIMULATOR_ID, inserted, pool_options
from expertgen.tasks.envpool_env import EnvPoolEnv
from expertgen.tasks.registry import get_task

TASK = get_task("bimanual-insertion")


def flail(env, steps):
    """Observations `[T, N, 82]` under random actions."""
    rng = np.random.default_rng(0)
    observations = [env.reset(seed=0)[0]]
    for _ in range(steps):
        actions = rng.uniform(-1, 1, (env.num_envs, TASK.action_size)).astype(np.float32)
        observations.append(env.step(actions)[0])
    return np.array(observations)


def test_the_model_without_meshes_gives_the_bits_of_the_simulators_own():
    options = pool_options()
    plain = {name: value for name, value in options.items() if name != "base_path"}
    pools = [envpool.make_gymnasium(SIMULATOR_ID, num_envs=1, seed=0, **chosen) for chosen in (options, plain)]
    for pool in pools:
        pool.reset()
    rng = np.random.default_rng(0)
    for _ in range(30):
        actions = rng.uniform(-1, 1, (1, 14))
        lean, own = (pool.step(actions)[0] for pool in pools)
        np.testing.assert_array_equal(lean, own)


def observation(x, y=0.0, z=0.0, height=0.15):
    """A socket that lies along the world's y axis, with the peg's end at `(x, y, z)` in the socket's frame."""
    row = np.zeros((1, 82))
    row[0, 61:64] = socket = np.array([0.1, 0.2, height])
    row[0, 70:73] = socket + np.array([0.0, 0.048, 0.0])
    row[0, 73:76] = socket + np.array([-y, x, z])
    return row


def test_success_is_a_peg_deep_in_a_lifted_socket():
    assert inserted(observation(0.0)).tolist() == [True]
    assert inserted(observation(0.0029, 0.003, -0.0039)).tolist() == [True]
    assert inserted(observation(0.0031)).tolist() == [False], "44.9 mm past the entrance"
    assert inserted(observation(-0.05)).tolist() == [False], "behind the socket"
    assert inserted(observation(0.0, 0.004, 0.0031)).tolist() == [False], "more than 5 mm beside the axis"
    assert inserted(observation(0.0, height=0.069)).tolist() == [False], "not lifted"


def test_the_fields_fit_together():
    """The ends lie where position and rotation say; the hands and things move as their velocities say."""
    env = EnvPoolEnv(replace(TASK, horizon=50), 2)
    seen = TASK.named(flail(env, 40))
    w, x, y, z = np.moveaxis(seen["peg_quaternion"], -1, 0)
    along = np.stack([w**2 + x**2 - y**2 - z**2, 2 * (x * y + w * z), 2 * (x * z - w * y)], axis=-1)
    np.testing.assert_allclose(seen["peg_position"] - 0.048 * along, seen["peg_end_position"], atol=1e-5)
    distance = np.linalg.norm(seen["entrance_position"] - seen["socket_position"], axis=-1)
    np.testing.assert_allclose(distance, 0.048, atol=1e-5)
    for side in ("left", "right"):
        moved = np.diff(seen[f"{side}_joints"], axis=0) / 0.04
        mean = 0.5 * (seen[f"{side}_joint_velocities"][1:] + seen[f"{side}_joint_velocities"][:-1])
        assert np.corrcoef(moved.ravel(), mean.ravel())[0, 1] > 0.9
    assert len({field.start for field in TASK.fields}) == len(TASK.fields)


def test_actions_move_targets_of_joints():
    """An arm follows a steady command at one radian per second; an action of 1 opens the fingers at once."""
    env = EnvPoolEnv(TASK, 1)
    start = TASK.named(env.reset(seed=0)[0][0])
    actions = np.zeros((1, 14), np.float32)
    actions[0, TASK.action_names.index("left_waist")] = 1.0
    actions[0, TASK.action_names.index("right_gripper")] = -1.0
    for _ in range(20):
        seen = TASK.named(env.step(actions)[0][0])
    assert 0.5 < seen["left_joints"][0] - start["left_joints"][0] < 0.8
    assert seen["right_fingers"].max() < 0.004
