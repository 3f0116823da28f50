"""What a batch looks like through other cameras: drawn anew for every gradient step, since collected episodes are few.

A collection of some hundred episodes shows some hundred errors of the cameras, and convolutions learn those by heart.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.distillation.student import View
from expertgen.vision.randomize import CameraRandomization


def augmented(view: View, generator: torch.Generator, train_points: int, randomization: CameraRandomization) -> View:
    """Returns a batch with a random subset of the points, or with images of cameras that stand elsewhere.

    Args:
        view: a batch of views.
        generator: source of what is drawn.
        train_points: points to keep of each cloud.
        randomization: strengths of the errors; `position` and `rotation` are drawn for each image, and as
            `point_dropout` tells of clouds, so many of an image's pixels are missing.
    """
    if "points" in view:
        # Clouds are in random order, so the same columns are another random subset in each of them.
        kept = torch.randperm(view["points"].shape[1], generator=generator)[:train_points]
        return view | {"points": view["points"][:, kept.to(view["points"].device)]}
    if "depth" in view:
        poses = moved_along_the_table(view["poses"], randomization.position, randomization.rotation, generator)
        seen = torch.rand(view["depth"].shape, generator=generator) >= randomization.point_dropout
        return view | {"poses": poses, "depth": view["depth"] * seen.to(view["depth"].device)}
    return view


def moved_along_the_table(
    poses: Float[Tensor, "batch cameras 3 4"], position: float, rotation: float, generator: torch.Generator
) -> Float[Tensor, "batch cameras 3 4"]:
    """Shifts believed poses along x and y and turns them about the vertical: what levelling cannot mend.

    Args:
        poses: `[R | t]` of each camera in the base frame.
        position: largest shift along each axis [m]; drawn uniformly for each camera and row.
        rotation: largest turn, about the camera's own centre [degrees].
        generator: source of the draw.
    """

    def uniform(strength: float, *size: int) -> Tensor:
        draw = torch.rand(*poses.shape[:2], *size, generator=generator)
        return (strength * (2 * draw - 1)).to(poses.device)

    angle = torch.deg2rad(uniform(rotation))
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    turn = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, zero + 1], dim=-1).unflatten(-1, (3, 3))
    shift = torch.cat([uniform(position, 2), zero[..., None]], dim=-1)
    return torch.cat([turn @ poses[..., :3], (poses[..., 3] + shift)[..., None]], dim=-1)
