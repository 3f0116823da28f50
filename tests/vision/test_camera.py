"""Pinhole geometry, by hand."""

import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.tasks.spec import CameraSpec
from expertgen.vision.camera import nominal_pose, pixel_rays


def test_rays_of_a_right_angle_camera():
    # fovy 90: the upper and lower border lie at slope 1; with two rows, pixel centres at slope 1/2.
    rays = pixel_rays(CameraSpec("c", (0, 0, 1), (0, 0, 0), fovy=90, width=4, height=2))
    assert rays.shape == (2, 4, 3)
    np.testing.assert_allclose(rays[0, 0], [-1.5, -0.5, 1], atol=1e-12)
    np.testing.assert_allclose(rays[1, 3], [1.5, 0.5, 1], atol=1e-12)


def test_middle_pixel_of_an_odd_image_looks_along_the_axis():
    rays = pixel_rays(CameraSpec("c", (0, 0, 1), (0, 0, 0), fovy=33, width=5, height=3))
    np.testing.assert_allclose(rays[1, 2], [0, 0, 1], atol=1e-12)


def test_axes_of_a_level_camera():
    # Looking along +y: right of the image is +x, down is -z.
    pose = nominal_pose(CameraSpec("c", (1, 2, 3), (1, 5, 3), fovy=45), np.zeros(3))
    np.testing.assert_allclose(pose.rotation, [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-12)
    np.testing.assert_allclose(pose.position, [1, 2, 3])


def test_camera_that_looks_straight_down_has_y_at_the_top():
    pose = nominal_pose(CameraSpec("c", (0, 0, 1), (0, 0, 0), fovy=45), np.zeros(3))
    np.testing.assert_allclose(pose.rotation, [[1, 0, 0], [0, -1, 0], [0, 0, -1]], atol=1e-12)


@pytest.mark.parametrize("target", [(0.3, -0.4, 0.1), (0, 0, 0.5), (-2, 1, 7)])
def test_rotations_are_proper(target):
    rotation = nominal_pose(CameraSpec("c", (0, 0, 1), target, fovy=45), np.zeros(3)).rotation
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_camera_on_the_hand_moves_with_it_and_does_not_turn():
    camera = CameraSpec("c", (0.1, 0, 0.1), (0, 0, -0.1), fovy=45, mount="hand")
    here, there = nominal_pose(camera, np.zeros(3)), nominal_pose(camera, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(there.position - here.position, [1, 2, 3])
    np.testing.assert_allclose(there.rotation, here.rotation)


@pytest.mark.parametrize(
    ("camera", "part"),
    [
        (CameraSpec("c", (0, 0, 1), (0, 0, 1), fovy=45), "its own position"),
        (CameraSpec("c", (0, 0, 1), (0, 0, 0), fovy=45, mount="head"), "mount 'head'"),
    ],
)
def test_impossible_cameras_are_refused(camera, part):
    with pytest.raises(UsageError, match=part):
        nominal_pose(camera, np.zeros(3))
