"""Imperfections: by hand, and by their statistics."""

import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.vision.camera import CameraPose
from expertgen.vision.randomize import CameraRandomization, displaced, rotation_matrix


def test_quarter_turn_about_z():
    turn = rotation_matrix(np.array([0, 0, np.pi / 2]))
    np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_array_equal(rotation_matrix(np.zeros(3)), np.eye(3))


def test_displacement_turns_the_camera_about_its_own_centre():
    pose = CameraPose(np.array([1.0, 2.0, 3.0]), rotation_matrix(np.array([0.3, -0.2, 0.1])))
    error = CameraPose(np.array([0.1, 0.0, 0.0]), rotation_matrix(np.array([0.0, 0.0, 0.5])))
    moved = displaced(pose, error)
    np.testing.assert_allclose(moved.position, [1.1, 2, 3])
    # A turn about the optical axis leaves the optical axis where it is.
    np.testing.assert_allclose(moved.rotation[:, 2], pose.rotation[:, 2], atol=1e-12)


def test_pose_errors_stay_within_their_strength():
    generator = np.random.default_rng(0)
    strengths = CameraRandomization(position=0.03, rotation=3.0)
    errors = [strengths.draw_pose_error(generator) for _ in range(500)]
    offsets = np.array([error.position for error in errors])
    assert np.abs(offsets).max() <= 0.03
    assert np.abs(offsets).max() > 0.029
    angles = np.degrees([np.arccos(np.clip((np.trace(e.rotation) - 1) / 2, -1, 1)) for e in errors])
    assert angles.max() <= 3.0 * np.sqrt(3)
    assert angles.max() > 3.0


def test_noise_and_dropout_have_their_strength():
    generator = np.random.default_rng(0)
    depth = np.full((2, 100, 100), 0.8, np.float32)
    depth[:, 0] = 0.0
    disturbed = CameraRandomization(depth_noise=0.005, pixel_dropout=0.1).disturb_depth(depth, generator)
    assert disturbed.dtype == np.float32
    assert np.all(disturbed[:, 0] == 0)  # Where there was no return, noise does not make one.
    rest = disturbed[:, 1:]
    assert np.mean(rest == 0) == pytest.approx(0.1, abs=0.01)
    assert np.std(rest[rest > 0]) == pytest.approx(0.005, rel=0.05)
    assert len(CameraRandomization(point_dropout=0.2).drop_points(np.zeros((10000, 3)), generator)) == pytest.approx(
        8000, abs=150
    )


def test_weaker_errors_are_drawn_up_to_the_given_ones():
    generator = np.random.default_rng(0)
    given = CameraRandomization(position=0.02, rotation=1.0, depth_noise=0.004, pixel_dropout=0.1, point_dropout=0.2)
    drawn = [given.weakened(generator) for _ in range(300)]
    for name in ("depth_noise", "pixel_dropout", "point_dropout"):
        shares = np.array([getattr(one, name) for one in drawn]) / getattr(given, name)
        assert shares.min() < 0.02
        assert 0.98 < shares.max() < 1
    assert {(one.position, one.rotation) for one in drawn} == {(0.02, 1.0)}  # these are drawn as errors anyway


def test_perfect_cameras_change_nothing():
    generator = np.random.default_rng(0)
    perfect = CameraRandomization()
    depth = np.random.default_rng(1).random((1, 4, 4), np.float32)
    np.testing.assert_array_equal(perfect.disturb_depth(depth, generator), depth)
    error = perfect.draw_pose_error(generator)
    np.testing.assert_array_equal(error.position, np.zeros(3))
    np.testing.assert_array_equal(error.rotation, np.eye(3))
    assert perfect.draw_latency(generator) == 0


@pytest.mark.parametrize(
    "values", [{"position": -0.1}, {"latency": -1}, {"pixel_dropout": 1.0}, {"point_dropout": 2.0}]
)
def test_impossible_strengths_are_refused(values):
    with pytest.raises(UsageError, match=f"randomization.{next(iter(values))}"):
        CameraRandomization(**values)
