"""Levelling: the table tells height and tilt."""

import numpy as np
import pytest

from expertgen.tasks.spec import CameraSpec
from expertgen.vision.camera import nominal_pose, pixel_rays
from expertgen.vision.level import levelled
from expertgen.vision.points import Workspace
from expertgen.vision.randomize import CameraRandomization, displaced
from expertgen.vision.raycast import DepthCaster
from tests.vision.scenes import scene

CAMERA = CameraSpec("c", (0.75, 0.45, 0.55), (-0.05, 0.57, 0.08), fovy=42)
RAYS = np.float32(pixel_rays(CAMERA))


@pytest.fixture(scope="module")
def look():
    model, data = scene()
    caster = DepthCaster(model, (CAMERA,), Workspace((-2, -2, -2), (2, 2, 2)))
    return lambda pose: caster.cast(data, [pose])[0]


def test_a_camera_that_stands_right_is_left_alone(look):
    pose = nominal_pose(CAMERA, np.zeros(3))
    found = levelled(pose, look(pose), RAYS)
    np.testing.assert_allclose(found.position, pose.position, atol=1e-4)
    np.testing.assert_allclose(found.rotation, pose.rotation, atol=1e-4)


def test_height_and_tilt_are_found_under_noise(look):
    generator = np.random.default_rng(0)
    strengths = CameraRandomization(position=0.03, rotation=3.0, depth_noise=0.005)
    believed = nominal_pose(CAMERA, np.zeros(3))
    for _ in range(20):
        true = displaced(believed, strengths.draw_pose_error(generator))
        depth = strengths.disturb_depth(look(true)[None], generator)[0]
        found = levelled(believed, depth, RAYS)
        assert found.position[2] == pytest.approx(true.position[2], abs=2e-3)
        # The table's normal in the camera frame is the third row of the rotation.
        assert np.degrees(np.arccos(np.clip(found.rotation[2] @ true.rotation[2], -1, 1))) < 0.3
        np.testing.assert_allclose(found.rotation.T @ found.rotation, np.eye(3), atol=1e-9)


def test_shift_along_the_table_stays_unknown(look):
    believed = nominal_pose(CAMERA, np.zeros(3))
    true = believed._replace(position=believed.position + np.array([0.02, -0.03, 0.0]))
    np.testing.assert_allclose(levelled(believed, look(true), RAYS).position, believed.position, atol=1e-3)


def test_what_is_no_table_does_not_level():
    pose = nominal_pose(CAMERA, np.zeros(3))
    assert levelled(pose, np.zeros((48, 48), np.float32), RAYS) is pose
    # A lid 10 cm above the table that fills the image.
    rotated = RAYS @ pose.rotation.T.astype(np.float32)
    lid = ((0.1 - pose.position[2]) / rotated[..., 2]).astype(np.float32)
    assert levelled(pose, lid, RAYS) is pose
