"""Clouds, by hand."""

import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.tasks.spec import CameraSpec
from expertgen.vision.camera import CameraPose, nominal_pose, pixel_rays
from expertgen.vision.points import Workspace, crop, fixed_number, unproject
from expertgen.vision.raycast import DepthCaster
from tests.vision.scenes import scene


def test_unproject_by_hand():
    rays = np.array([[[0.5, -0.5, 1.0]]], np.float32)
    looking_along_x = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    pose = CameraPose(np.array([1.0, 2.0, 3.0]), looking_along_x)
    # 2 m deep: 1 m to the right of the image (-y), 1 m up (+z).
    points = unproject(np.array([[2.0]], np.float32), rays, pose)
    np.testing.assert_allclose(points[0, 0], [3.0, 1.0, 4.0], atol=1e-6)
    assert points.dtype == np.float32


def test_table_and_block_are_where_they_are():
    model, data = scene()
    camera = CameraSpec("c", (0.7, 0.2, 0.6), (0.1, 0.6, 0.05), fovy=50, width=64, height=48)
    pose = nominal_pose(camera, np.zeros(3))
    depth = DepthCaster(model, (camera,), Workspace((-2, -2, -2), (2, 2, 2))).cast(data, [pose])[0]
    points = unproject(depth, np.float32(pixel_rays(camera)), pose)
    block = crop(points, depth, Workspace((-1, 0, 0.001), (1, 1, 0.2)))
    assert len(block) > 20
    # Everything above the table and below the hand lies on the block's surface.
    np.testing.assert_allclose(np.abs(block - [0.1, 0.6, 0.05]).max(axis=1), 0.05, atol=1e-4)


def test_crop_leaves_out_pixels_without_a_return():
    points = np.array([[0, 0.5, 0.1], [0, 0.5, 0.1], [9, 9, 9]], np.float32)
    assert crop(points, np.array([1.0, 0.0, 1.0], np.float32), Workspace()).shape == (1, 3)


def test_fixed_number_draws_a_subset_or_repeats_all():
    points = np.arange(30, dtype=np.float32).reshape(10, 3)
    few = fixed_number(points, 4, np.random.default_rng(0), np.zeros(3))
    assert len({tuple(p) for p in few}) == 4
    many = fixed_number(points, 25, np.random.default_rng(0), np.zeros(3))
    assert {tuple(p) for p in many} == {tuple(p) for p in points}
    none = fixed_number(points[:0], 3, np.random.default_rng(0), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(none, np.float32([[1, 2, 3]] * 3))


def test_empty_workspaces_are_refused():
    with pytest.raises(UsageError, match="must lie below"):
        Workspace((0, 0, 0), (1, 0, 1))
