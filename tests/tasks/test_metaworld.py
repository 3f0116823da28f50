"""Python MetaWorld: our resets and frames against MetaWorld's own, and one environment against another."""

import os
from dataclasses import replace

import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.tasks.conformance import check_environment
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.metaworld_specs import metaworld_name
from expertgen.tasks.registry import get_task

pytest.importorskip("metaworld", reason="needs the extra 'vision'")

# One task of each kind: free object, no free object, object on a moved body (all hand steps), contact lists.
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
def test_resets_and_steps_are_bit_equal_to_metaworlds_own(name):
    task = get_task(name)
    env, reference = MetaWorldEnv(task, 2), original(metaworld_name(task))
    rng = np.random.default_rng(0)
    for seed in (7, None):
        observation, _ = env.reset(seed=seed)
        reference._last_rand_vec = env.starts()[1]
        expected, _ = reference.reset()
        np.testing.assert_array_equal(observation[1], expected.astype(np.float32))
        np.testing.assert_array_equal(env.datas[1].qpos, reference.data.qpos)
        np.testing.assert_array_equal(env.datas[1].qvel, reference.data.qvel)
        for _ in range(15):
            action = rng.uniform(-1, 1, 4).astype(np.float32)
            observation, reward, _, _, info = env.step(np.stack([-action, action]))
            expected, expected_reward, _, _, expected_info = reference.step(action)
            np.testing.assert_array_equal(observation[1], expected.astype(np.float32))
            assert reward[1] == np.float32(expected_reward)
            assert info["success"][1] == bool(expected_info["success"])


def test_conforms():
    task = replace(get_task("pick-place"), horizon=6)
    check_environment(lambda: MetaWorldEnv(task, 2))


def test_positions_of_moved_bodies_are_up_to_date_after_a_reset():
    env = MetaWorldEnv(get_task("peg-insert-side"), 2)
    observation, _ = env.reset(seed=0)
    for i in range(2):
        box = env.starts()[i][3:]
        np.testing.assert_allclose(env.datas[i].body("box").xpos, box, atol=1e-12)
        np.testing.assert_allclose(env.datas[i].site("goal").xpos, observation[i, 36:39], atol=1e-6)


def test_environments_share_a_model_but_no_state():
    env = MetaWorldEnv(get_task("peg-insert-side"), 3)
    assert all(model is env.models[0] for model in env.models)
    env.reset(seed=0)
    arrays = [
        [value for value in vars(world._environment).values() if isinstance(value, np.ndarray)] for world in env._worlds
    ]
    owned = [*arrays[0], env.datas[0].qpos, env.datas[0].xpos]
    foreign = [*arrays[1], env.datas[1].qpos, env.datas[1].xpos]
    assert not any(np.shares_memory(a, b) for a in owned for b in foreign)


def test_the_episode_depends_on_its_start_alone():
    env = MetaWorldEnv(get_task("shelf-place"), 1)
    action = np.array([[0.3, 0.5, -0.8, 1.0]], np.float32)

    def play():
        return [env.reset_to(starts), *(env.step(action)[0] for _ in range(10))]

    env.reset(seed=0)
    starts = env.starts()
    first = play()
    for _ in range(3):
        env.reset()
        env.step(-action)
    np.testing.assert_array_equal(first, play())


def test_first_index_continues_the_streams_of_one_process():
    task = get_task("reach")
    whole, _ = MetaWorldEnv(task, 3).reset(seed=5)
    part, _ = MetaWorldEnv(task, 2, first_index=1).reset(seed=5)
    np.testing.assert_array_equal(whole[1:], part)


def test_a_start_that_metaworld_rejects_is_refused():
    env = MetaWorldEnv(get_task("peg-insert-side"), 1)
    with pytest.raises(UsageError, match="is not one that MetaWorld accepts"):
        env.reset_to([np.zeros(6)])  # the peg inside of the box


def test_a_task_of_another_simulator_is_refused():
    with pytest.raises(UsageError, match=r"'hopper' .* is not a MetaWorld task"):
        MetaWorldEnv(get_task("hopper"), 1)


def test_an_unknown_camera_is_refused():
    env = MetaWorldEnv(get_task("reach"), 1)
    with pytest.raises(UsageError, match="no camera 'top'"):
        env.render(0, "top")


def test_without_a_display_rendering_says_what_to_do(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    env = MetaWorldEnv(get_task("reach"), 1)
    env.reset(seed=0)
    with pytest.raises(UsageError, match="MUJOCO_GL=osmesa"):
        env.render(0, "side")


@pytest.mark.skipif(os.environ.get("MUJOCO_GL") not in ("egl", "osmesa"), reason="needs MUJOCO_GL=osmesa or egl")
@pytest.mark.parametrize("camera", ["side", "hand"])
def test_rendering_gives_a_picture(camera):
    env = MetaWorldEnv(get_task("peg-insert-side"), 1)
    env.reset(seed=0)
    (image,) = env.render(0, camera, width=32, height=24)
    assert image.shape == (24, 32, 3)
    assert image.std() > 10
