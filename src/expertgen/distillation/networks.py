"""The networks of students: what the cameras see and proprioception in, a chunk out.

All of them measure positions from the hand as well as from the middle of the workspace: what is near the hand decides
the motion, and a camera that stands wrong by some centimetres moves hand and objects together.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from expertgen.errors import UsageError
from expertgen.runs.machine import fast_bfloat16
from expertgen.tasks.spec import CameraSpec
from expertgen.vision.camera import pixel_rays
from expertgen.vision.points import Workspace

_SCENE_SCALE = 0.2
_HAND_SCALE, _HAND_CLIP = 0.1, 4.0
_FEATURES = 6


def position_features(
    positions: Float[Tensor, "batch *points 3"], hand: Float[Tensor, "batch 3"], middle: Float[Tensor, "3"]
) -> Float[Tensor, "batch *points 6"]:
    """Returns positions as a network sees them: from the middle of the workspace [0.2 m] and from the hand [0.1 m].

    Args:
        positions: points [m, base frame].
        hand: position of the hand [m, base frame]; far from it the second half is clipped at 0.4 m.
        middle: middle of the workspace [m, base frame].
    """
    from_hand = (positions - hand.view(-1, *[1] * (positions.dim() - 2), 3)) / _HAND_SCALE
    return torch.cat([(positions - middle) / _SCENE_SCALE, from_hand.clamp(-_HAND_CLIP, _HAND_CLIP)], dim=-1)


class PointNetwork(nn.Module):
    """The same network on every point, the maximum over all points, and a head (PointNet; Qi et al. 2017).

    Args:
        proprioception_size: k.
        outputs: H · A.
        workspace: where the points lie.
        width: hidden width of the head.
    """

    middle: Tensor

    def __init__(self, proprioception_size: int, outputs: int, workspace: Workspace, width: int) -> None:
        super().__init__()
        self.register_buffer("middle", _middle(workspace), persistent=False)
        self.points = nn.Sequential(
            nn.Linear(_FEATURES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU()
        )
        self.head = _head(128 + proprioception_size, width, outputs)

    def forward(
        self,
        points: Float[Tensor, "batch number 3"],
        hand: Float[Tensor, "batch 3"],
        proprioception: Float[Tensor, "batch k"],
    ) -> Float[Tensor, "batch outputs"]:
        """Returns the flat chunk; `proprioception` is normalised, the others are in metres."""
        with torch.autocast(points.device.type, torch.bfloat16, enabled=fast_bfloat16(points.device)):
            pooled = self.points(position_features(points, hand, self.middle)).amax(dim=1)
        return self.head(torch.cat([pooled.float(), proprioception], dim=1))


class BlindNetwork(nn.Module):
    """The head alone: a control that tells how far proprioception gets without seeing.

    Args:
        proprioception_size: k.
        outputs: H · A.
        width: hidden width of the head.
    """

    def __init__(self, proprioception_size: int, outputs: int, width: int) -> None:
        super().__init__()
        self.head = _head(proprioception_size, width, outputs)

    def forward(
        self, hand: Float[Tensor, "batch 3"], proprioception: Float[Tensor, "batch k"]
    ) -> Float[Tensor, "batch outputs"]:
        """Returns the flat chunk; `hand` is part of the normalised `proprioception` already."""
        return self.head(proprioception)


class DepthNetwork(nn.Module):
    """Convolutions over maps of positions, the maximum over all pixels, and a head.

    Every pixel's depth is turned into the position that it sees, so one set of filters fits all cameras. Pixels outside
    of the workspace count for nothing: blocks of 2×2 pixels are averaged, and neighbourhoods of 3×3 blocks convolved,
    over what they hold of the workspace only (partial convolution; Liu et al. 2018). The maximum is taken of blocks and
    of neighbourhoods: where something is, and what shape it has.

    Args:
        cameras: whose images come in.
        proprioception_size: k.
        outputs: H · A.
        workspace: pixels that see something else are left out.
        width: hidden width of the head.

    Raises:
        UsageError: if the images' width or height is odd.
    """

    rays: Tensor
    low: Tensor
    high: Tensor
    middle: Tensor

    def __init__(
        self,
        cameras: tuple[CameraSpec, ...],
        proprioception_size: int,
        outputs: int,
        workspace: Workspace,
        width: int,
    ) -> None:
        super().__init__()
        if any(camera.width % 2 or camera.height % 2 for camera in cameras):
            raise UsageError("a depth student needs images of an even width and height; change its cameras")
        rays = torch.stack([torch.as_tensor(pixel_rays(camera), dtype=torch.float32) for camera in cameras])
        self.register_buffer("rays", rays, persistent=False)
        self.register_buffer("low", torch.tensor(workspace.low), persistent=False)
        self.register_buffer("high", torch.tensor(workspace.high), persistent=False)
        self.register_buffer("middle", _middle(workspace), persistent=False)
        self.blocks = nn.Sequential(nn.Conv2d(_FEATURES, 32, 1), nn.ReLU(), nn.Conv2d(32, 64, 1), nn.ReLU())
        self.neighbours = nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False)
        self.shift = nn.Parameter(torch.zeros(64, 1, 1))
        self.shapes = nn.Conv2d(64, 128, 1)
        self.head = _head(64 + 128 + proprioception_size, width, outputs)

    def forward(
        self,
        depth: Float[Tensor, "batch cameras height width"],
        poses: Float[Tensor, "batch cameras 3 4"],
        hand: Float[Tensor, "batch 3"],
        proprioception: Float[Tensor, "batch k"],
    ) -> Float[Tensor, "batch outputs"]:
        """Returns the flat chunk.

        Args:
            depth: planar depth [m], 0 without a return.
            poses: rotation and position `[R | t]` of each camera in the base frame, as far as the robot knows.
            hand: position of the hand [m].
            proprioception: normalised.
        """
        positions = torch.einsum("bcij,bchwj->bchwi", poses[..., :3], self.rays * depth[..., None])
        positions = positions + poses[:, :, None, None, :, 3]
        inside = ((positions > self.low) & (positions < self.high)).all(dim=-1) & (depth > 0)
        features = position_features(positions, hand, self.middle) * inside[..., None]
        # Convolutions stay in float32: on a CPU they are slower in bfloat16, where matrix products are faster.
        image = features.permute(0, 1, 4, 2, 3).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        share = avg_pool2d(inside.flatten(0, 1)[:, None].float(), 2)
        blocks = self.blocks(avg_pool2d(image, 2) / share.clamp(min=1e-6)) * (share > 0)
        share = avg_pool2d((share > 0).float(), 3, stride=2, padding=1)
        neighbours = torch.relu(self.neighbours(blocks) / share.clamp(min=1e-6) + self.shift) * (share > 0)
        shapes = torch.relu(self.shapes(neighbours)) * (share > 0)
        pooled = torch.cat([blocks.amax(dim=(2, 3)), shapes.amax(dim=(2, 3))], dim=1)
        pooled = pooled.unflatten(0, (-1, depth.shape[1])).amax(dim=1)
        return self.head(torch.cat([pooled, proprioception], dim=1))


def _middle(workspace: Workspace) -> Float[Tensor, "3"]:
    return (torch.tensor(workspace.low) + torch.tensor(workspace.high)) / 2


def _head(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two hidden layers (Linear, LayerNorm, ReLU), then the chunk."""
    return nn.Sequential(
        nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU(),
        nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU(),
        nn.Linear(width, outputs),
    )  # fmt: skip
