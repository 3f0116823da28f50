"""What the students' networks may and may not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from expertgen.distillation.networks import BlindNetwork, DepthNetwork, PointNetwork, position_features
from expertgen.errors import UsageError
from expertgen.tasks.spec import CameraSpec
from expertgen.vision.camera import nominal_pose, pixel_rays
from expertgen.vision.points import Workspace, unproject

CAMERAS = (
    CameraSpec("side", (0.75, 0.45, 0.55), (-0.05, 0.57, 0.08), fovy=42, width=16, height=12),
    CameraSpec("front", (-0.05, 1.30, 0.62), (-0.05, 0.57, 0.08), fovy=46, width=16, height=12),
)
HAND = torch.tensor([[0.0, 0.6, 0.2], [0.1, 0.5, 0.1]])
PROPRIOCEPTION = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


def poses() -> torch.Tensor:
    both = [nominal_pose(camera, np.zeros(3)) for camera in CAMERAS]
    rows = np.stack([np.column_stack([pose.rotation, pose.position]) for pose in both])
    return torch.tensor(np.stack([rows, rows]), dtype=torch.float32)


def test_position_features_by_hand():
    positions = torch.tensor([[[0.2, 0.6, 0.2], [0.0, 0.7, 0.2]]])
    features = position_features(positions, torch.tensor([[0.0, 0.6, 0.2]]), torch.tensor([0.0, 0.6, 0.2]))
    expected = torch.tensor([[[1.0, 0, 0, 2, 0, 0], [0, 0.5, 0, 0, 1, 0]]])
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)


def test_far_points_are_clipped_around_the_hand_only():
    features = position_features(torch.full((1, 1, 3), 2.0), torch.zeros(1, 3), torch.zeros(3))
    torch.testing.assert_close(features[0, 0], torch.tensor([10.0, 10, 10, 4, 4, 4]))


def test_order_and_repetition_of_points_do_not_matter():
    network = PointNetwork(4, 32, Workspace(), 64)
    points = torch.rand(2, 50, 3, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(50, generator=torch.Generator().manual_seed(2))
    out = network(points, HAND, PROPRIOCEPTION)
    assert out.shape == (2, 32)
    torch.testing.assert_close(network(points[:, order], HAND, PROPRIOCEPTION), out)
    torch.testing.assert_close(network(points.repeat(1, 2, 1), HAND, PROPRIOCEPTION), out)
    assert not torch.allclose(network(points + 0.05, HAND, PROPRIOCEPTION), out)


def test_pixels_outside_of_the_workspace_do_not_matter():
    network = DepthNetwork(CAMERAS, 4, 32, Workspace(), 64)
    depth = torch.full((2, 2, 12, 16), 0.85)
    seen = [
        unproject(depth[0, c].numpy(), np.float32(pixel_rays(camera)), nominal_pose(camera, np.zeros(3)))
        for c, camera in enumerate(CAMERAS)
    ]
    inside = torch.tensor(np.all((seen > np.float32(Workspace().low)) & (seen < np.float32(Workspace().high)), axis=-1))
    assert 0.1 < inside.float().mean() < 0.9
    out = network(depth, poses(), HAND, PROPRIOCEPTION)
    assert out.shape == (2, 32)
    beyond = torch.where(inside, depth, torch.tensor(2.5))
    torch.testing.assert_close(network(beyond, poses(), HAND, PROPRIOCEPTION), out)
    nothing = torch.where(inside, depth, torch.tensor(0.0))
    torch.testing.assert_close(network(nothing, poses(), HAND, PROPRIOCEPTION), out)
    nearer = torch.where(inside, depth - 0.05, depth)
    assert not torch.allclose(network(nearer, poses(), HAND, PROPRIOCEPTION), out)


def test_missing_pixels_are_no_positions():
    network = DepthNetwork(CAMERAS, 4, 32, Workspace(), 64)
    depth = torch.full((2, 2, 12, 16), 0.85)
    out = network(depth, poses(), HAND, PROPRIOCEPTION)
    checkerboard = (torch.arange(12)[:, None] + torch.arange(16)) % 2
    sparse = network(depth * checkerboard, poses(), HAND, PROPRIOCEPTION)
    moved = network(depth + 0.05, poses(), HAND, PROPRIOCEPTION)
    assert (sparse - out).norm() < 0.5 * (moved - out).norm()


def test_odd_images_are_refused():
    with pytest.raises(UsageError, match="even width and height"):
        DepthNetwork((replace(CAMERAS[0], width=15),), 4, 32, Workspace(), 64)


def test_an_image_without_anything_is_no_error():
    network = DepthNetwork(CAMERAS, 4, 32, Workspace(), 64)
    assert torch.isfinite(network(torch.zeros(2, 2, 12, 16), poses(), HAND, PROPRIOCEPTION)).all()


def test_the_order_of_cameras_does_not_matter():
    forth, back = DepthNetwork(CAMERAS, 4, 32, Workspace(), 64), DepthNetwork(CAMERAS[::-1], 4, 32, Workspace(), 64)
    back.load_state_dict(forth.state_dict())
    depth = torch.rand(2, 2, 12, 16, generator=torch.Generator().manual_seed(3)) + 0.5
    out = forth(depth, poses(), HAND, PROPRIOCEPTION)
    torch.testing.assert_close(back(depth.flip(1), poses().flip(1), HAND, PROPRIOCEPTION), out, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 3])
def test_the_blind_network_has_its_proprioception(rows):
    network = BlindNetwork(4, 8, 16)
    assert network(torch.zeros(rows, 3), torch.zeros(rows, 4)).shape == (rows, 8)
