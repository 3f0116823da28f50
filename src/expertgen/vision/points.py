"""From depth images to a point cloud in the base frame: cropped to the workspace, with a fixed number of points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expertgen.errors import UsageError
from expertgen.vision.camera import CameraPose


@dataclass(frozen=True)
class Workspace:
    """The box in which points are kept [m, base frame]; by default the space over MetaWorld's table, not its top.

    It begins so far above the table that noise of a few millimetres does not fill it with points of the table.
    """

    low: tuple[float, float, float] = (-0.45, 0.30, 0.018)
    """Smallest x, y, z."""
    high: tuple[float, float, float] = (0.45, 0.90, 0.40)
    """Largest x, y, z."""

    def __post_init__(self) -> None:
        if any(low >= high for low, high in zip(self.low, self.high, strict=True)):
            raise UsageError(f"workspace.low {self.low} must lie below workspace.high {self.high} along each axis")


def unproject(
    depth: Float[np.ndarray, "height width"], rays: Float[np.ndarray, "height width 3"], pose: CameraPose
) -> Float[np.ndarray, "height width 3"]:
    """Returns the point that each pixel sees [m, base frame], float32; it means nothing where the depth is 0.

    Args:
        depth: planar depth [m], float32.
        rays: `pixel_rays` of the camera, float32.
        pose: where the camera is, or is believed to be.
    """
    rotation, position = np.float32(pose.rotation), np.float32(pose.position)
    return (rays * depth[..., None]) @ rotation.T + position


def crop(
    points: Float[np.ndarray, "*pixels 3"], depth: Float[np.ndarray, "*pixels"], workspace: Workspace
) -> np.ndarray:
    """Returns the points `[m, 3]` of pixels that have a depth and lie strictly inside the workspace."""
    inside = np.all(
        (points > np.asarray(workspace.low, np.float32)) & (points < np.asarray(workspace.high, np.float32)), axis=-1
    )
    return points[inside & (depth > 0)]


def fixed_number(
    points: Float[np.ndarray, "m 3"], number: int, generator: np.random.Generator, fallback: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "number 3"]:
    """Returns exactly `number` points in random order: a random subset, or all of them with repetitions.

    Repeating leaves the set of points, and so whatever a network pools over it by maximum, as it was.

    Args:
        points: any number of points.
        number: how many to return.
        generator: source of the random order.
        fallback: the point to repeat where there are none at all (by habit the hand's position).
    """
    if len(points) == 0:
        return np.broadcast_to(np.float32(fallback), (number, 3)).copy()
    order = generator.permutation(len(points))
    return points[np.resize(order, number)]
