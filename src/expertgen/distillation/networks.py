"""The networks of students: what the cameras see and proprioception in, a chunk out.

All of them measure positions from the hand as well as from the middle of the workspace: what is near the hand decides
the motion, and a camera that stands wrong by some centimetres moves hand and objects together.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

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
    """Convolutions over maps of positions, pooled by maximum and by keypoints in space, and a head.

    Every pixel's depth is turned into the position that it sees, so one set of filters fits all cameras, and pixels
    outside of the workspace are blanked. A keypoint is the mean position under the softmax of one feature map, over
    the pixels of all cameras together (the spatial softmax of Finn et al. 2016, in metres instead of pixels).

    Args:
        cameras: whose images come in.
        proprioception_size: k.
        outputs: H · A.
        workspace: pixels that see something else are blanked.
        width: hidden width of the head.

    Raises:
        UsageError: if the images' width or height is not a multiple of 4.
    """

    keypoints = 16

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
        if any(camera.width % 4 or camera.height % 4 for camera in cameras):
            raise UsageError("a depth student needs images whose width and height are multiples of 4 pixels")
        rays = torch.stack([torch.as_tensor(pixel_rays(camera), dtype=torch.float32) for camera in cameras])
        self.register_buffer("rays", rays, persistent=False)
        self.register_buffer("low", torch.tensor(workspace.low), persistent=False)
        self.register_buffer("high", torch.tensor(workspace.high), persistent=False)
        self.register_buffer("middle", _middle(workspace), persistent=False)
        self.convolutions = nn.Sequential(
            nn.Conv2d(_FEATURES + 1, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 128, 1),
            nn.ReLU(),
        )
        self.attention = nn.Conv2d(128, self.keypoints, 1)
        self.head = _head(128 + 3 * self.keypoints + proprioception_size, width, outputs)

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
        inside = self._inside(positions) & (depth > 0)
        features = position_features(positions, hand, self.middle)
        image = torch.cat([features, torch.ones_like(depth)[..., None]], dim=-1) * inside[..., None]
        image = image.permute(0, 1, 4, 2, 3).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        # Convolutions stay in float32: on a CPU they are slower in bfloat16, where matrix products are faster.
        maps = self.convolutions(image)
        attention = self._by_pixel(self.attention(maps), depth.shape[1])
        maps = self._by_pixel(maps, depth.shape[1])
        # What a pixel of the maps stands for: the mean over those of its 4×4 pixels that are inside.
        coarse = self._by_pixel(nn.functional.avg_pool2d(image, 4), depth.shape[1])
        keep = coarse[..., -1:] > 0
        from_hand = coarse[..., 3:6] / coarse[..., -1:].clamp(min=1e-6)
        pooled = maps.masked_fill(~keep, 0.0).amax(dim=1)
        weights = attention.masked_fill(~keep, -1e4).softmax(dim=1)
        keypoints = torch.einsum("bpk,bpi->bki", weights, from_hand).flatten(1)
        return self.head(torch.cat([pooled, keypoints, proprioception], dim=1))

    def _by_pixel(
        self, maps: Float[Tensor, "images channels rows columns"], cameras: int
    ) -> Float[Tensor, "batch pixels channels"]:
        """Lays the pixels of all cameras of an observation in one row."""
        return maps.unflatten(0, (-1, cameras)).permute(0, 1, 3, 4, 2).flatten(1, 3)

    def _inside(
        self, positions: Float[Tensor, "batch cameras height width 3"]
    ) -> Bool[Tensor, "batch cameras height width"]:
        return ((positions > self.low) & (positions < self.high)).all(dim=-1)


def _middle(workspace: Workspace) -> Float[Tensor, "3"]:
    return (torch.tensor(workspace.low) + torch.tensor(workspace.high)) / 2


def _head(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two hidden layers (Linear, LayerNorm, ReLU), then the chunk."""
    return nn.Sequential(
        nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU(),
        nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU(),
        nn.Linear(width, outputs),
    )  # fmt: skip
