"""Camera errors that are drawn anew for every gradient step."""

from __future__ import annotations

import numpy as np
import torch

from expertgen.distillation.augment import augmented, moved_along_the_table
from expertgen.runs.seeding import torch_generator
from expertgen.vision.randomize import CameraRandomization, rotation_matrix

ERRORS = CameraRandomization(position=0.02, rotation=3.0, point_dropout=0.25)


def poses(rows=200, cameras=2):
    rotation = torch.as_tensor(rotation_matrix(np.array([0.4, -0.9, 0.2])), dtype=torch.float32)
    position = torch.tensor([[0.75], [0.45], [0.55]])
    return torch.cat([rotation, position], dim=1).expand(rows, cameras, 3, 4)


def test_cameras_move_along_the_table_and_turn_about_the_vertical():
    before = poses()
    after = moved_along_the_table(before, 0.02, 3.0, torch_generator(0, "t"))
    shift = after[..., 3] - before[..., 3]
    assert shift[..., 2].abs().max() == 0
    assert 0.019 < shift[..., :2].abs().max() <= 0.02
    turn = after[..., :3] @ before[..., :3].mT
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).expand_as(turn))
    torch.testing.assert_close(turn[..., 2, :], torch.tensor([0.0, 0.0, 1.0]).expand_as(turn[..., 2, :]))
    angle = torch.rad2deg(torch.atan2(turn[..., 1, 0], turn[..., 0, 0]))
    assert 2.8 < angle.abs().max() <= 3.001
    assert angle.min() < -2.5
    assert not torch.equal(turn[:, 0], turn[:, 1])  # each camera has errors of its own


def test_without_strength_poses_stay():
    torch.testing.assert_close(moved_along_the_table(poses(), 0.0, 0.0, torch_generator(0, "t")), poses())


def test_images_lose_their_share_of_pixels_and_keep_the_others():
    view = {"depth": torch.rand(50, 2, 16, 16) + 0.1, "poses": poses(50), "proprioception": torch.rand(50, 4)}
    seen = augmented(view, torch_generator(0, "t"), train_points=8, randomization=ERRORS)
    lost = seen["depth"] == 0
    assert abs(float(lost.float().mean()) - 0.25) < 0.02
    assert torch.equal(seen["depth"][~lost], view["depth"][~lost])
    assert not torch.equal(seen["poses"], view["poses"])
    assert torch.equal(seen["proprioception"], view["proprioception"])


def test_clouds_keep_a_subset_of_their_points():
    view = {"points": torch.arange(60.0).view(2, 10, 3), "proprioception": torch.rand(2, 4)}
    seen = augmented(view, torch_generator(0, "t"), train_points=4, randomization=ERRORS)["points"]
    assert seen.shape == (2, 4, 3)
    for before, after in zip(view["points"], seen, strict=True):
        rows = {tuple(row) for row in before.tolist()}
        assert len({tuple(row) for row in after.tolist()} & rows) == 4


def test_the_blind_see_what_they_saw():
    view = {"proprioception": torch.rand(2, 4)}
    assert augmented(view, torch_generator(0, "t"), train_points=4, randomization=ERRORS) is view
