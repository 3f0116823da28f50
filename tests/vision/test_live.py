"""Live pictures: they show what the slow ones show, and follow what moves."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task
from expertgen.vision.live import LiveShader
from expertgen.vision.scene import capture
from expertgen.vision.shading import REPORT_CAMERA, FrameShader
from tests.vision.scenes import SLANTED, TABLE

CAMERA = replace(REPORT_CAMERA, width=160, height=120)
MOVABLE = TABLE.replace('<geom name="block"', '<freejoint/><geom name="block"')


@pytest.fixture(scope="module")
def env():
    env = MetaWorldEnv(get_task("drawer-open"), 1)
    env.reset(seed=0)
    return env


def test_live_pictures_look_like_the_slow_ones(env):
    slow = FrameShader(env.models[0]).frame(env.datas[0], CAMERA, CAMERA.width, CAMERA.height).astype(int)
    live = LiveShader(env.models[0]).frame(capture(env.datas[0]), CAMERA).astype(int)
    difference = np.abs(slow - live).max(axis=-1)
    assert live.shape == slow.shape
    assert np.median(difference) <= 2  # the backdrop is the same
    assert (difference > 60).mean() < 0.05  # borders, and details smaller than a pixel


def test_pictures_follow_the_arm_and_depend_on_nothing_else(env):
    shader = LiveShader(env.models[0])
    env.reset(seed=0)
    first = capture(env.datas[0])
    for _ in range(20):
        env.step(np.array([[0.5, -1, -1, 1]], np.float32))
    moved = capture(env.datas[0])
    pictures = [shader.frame(scene, CAMERA) for scene in (first, moved, first)]
    assert (pictures[0] != pictures[1]).any(axis=-1).mean() > 0.03
    np.testing.assert_array_equal(pictures[0], pictures[2])


def test_what_was_moved_at_a_reset_is_drawn_anew(env):
    shader = LiveShader(env.models[0])
    pictures = []
    for seed in (0, 1, 0):
        env.reset(seed=seed)
        pictures.append(shader.frame(capture(env.datas[0]), CAMERA))
    assert (pictures[0] != pictures[1]).any()  # the drawer's case stands elsewhere
    np.testing.assert_array_equal(pictures[0], pictures[2])


def block_scene():
    model = mujoco.MjModel.from_xml_string(MOVABLE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def test_a_moving_block_has_its_colour_and_throws_a_shadow():
    model, data = block_scene()
    data.qpos[2] = 0.2  # above the table, so that its shadow is beside it
    mujoco.mj_forward(model, data)
    camera = replace(SLANTED, width=80, height=60)
    with_block = LiveShader(model).frame(capture(data), camera).astype(int)
    data.qpos[2] = 50.0  # away
    mujoco.mj_forward(model, data)
    without = LiveShader(model).frame(capture(data), camera).astype(int)
    red = with_block[..., 0] - with_block[..., 2] > 60
    assert red.sum() > 40
    darker = ~red & (without.sum(axis=-1) - with_block.sum(axis=-1) > 40)
    assert darker.sum() > 30


def test_the_mark_is_drawn_and_shines_through():
    model, data = block_scene()
    scene, camera = capture(data), replace(SLANTED, width=80, height=60)
    shader = LiveShader(model)
    plain = shader.frame(scene, camera).astype(int)
    above = shader.frame(scene, camera, np.array([0.1, 0.6, 0.2])).astype(int)
    inside = shader.frame(scene, camera, np.array([0.1, 0.6, 0.05])).astype(int)
    strength = [np.abs(picture - plain).max() for picture in (above, inside)]
    assert strength[0] > strength[1] > 5
    behind = np.array([2.0, -0.6, 2.0])  # the camera
    np.testing.assert_array_equal(shader.frame(scene, camera, behind), plain)
