"""Pictures for people: colours, shadows, borders."""

import numpy as np
import pytest

from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task
from expertgen.tasks.spec import CameraSpec
from expertgen.vision.shading import FrameShader, shaded_frame
from tests.vision.scenes import scene

ABOVE = CameraSpec("above", (0.1, 0.6, 1.1), (0.1, 0.6, 0.0), fovy=30)


@pytest.fixture(scope="module")
def frame():
    return shaded_frame(*scene(), ABOVE, width=64, height=48)


def test_frames_are_pictures(frame):
    assert frame.shape == (48, 64, 3)
    assert frame.dtype == np.uint8


def test_geoms_have_their_colours(frame):
    block, table = frame[24, 32].astype(int), frame[2, 60].astype(int)
    assert block[0] > block[1] + 40
    assert block[0] > block[2] + 40
    assert table[2] > table[0] + 40


def test_the_block_throws_a_shadow(frame):
    # On the table (bluish pixels) some are clearly darker than the brightest.
    table = frame[frame[..., 2].astype(int) > frame[..., 0].astype(int) + 20][:, 2].astype(int)
    assert table.min() < 0.8 * table.max()


def test_borders_are_smoothed(frame):
    # Between the red block and the blue table there are pixels of neither.
    red, blue = frame[24, 32].astype(int), frame[24, 60].astype(int)
    row = frame[24].astype(int)
    between = (np.abs(row - red).sum(axis=1) > 30) & (np.abs(row - blue).sum(axis=1) > 60) & (row[:, 0] > blue[0] + 20)
    assert between.any()


def test_one_shader_draws_all_states_of_a_model():
    env = MetaWorldEnv(get_task("peg-insert-side"), 2)
    env.reset(seed=0)
    shader = FrameShader(env.models[0])
    first, second, again = (shader.frame(env.datas[i], width=80, height=60) for i in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)
    assert first.std() > 30  # There is something to see.
