"""Pinhole geometry: where a camera is, and through which direction each pixel looks.

Camera frame: x to the right of the image, y down, z forward along the optical axis. Row 0 is the top of the image,
column 0 its left edge. A pixel looks through its centre.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from expertgen.errors import UsageError
from expertgen.tasks.spec import CameraSpec


class CameraPose(NamedTuple):
    """Where a camera is, in the base frame.

    Attributes:
        position: camera centre `[3]` [m].
        rotation: `[3, 3]`, its columns are the camera's x, y and z axes in the base frame.
    """

    position: Float[np.ndarray, "3"]
    rotation: Float[np.ndarray, "3 3"]


def pixel_rays(camera: CameraSpec) -> Float[np.ndarray, "height width 3"]:
    """Returns each pixel's direction in the camera frame, scaled to z = 1: planar depth times this is the point."""
    # Pixels are square: one focal length for both axes.
    focal = camera.height / (2 * np.tan(np.radians(camera.fovy) / 2))
    x = (np.arange(camera.width) + 0.5 - camera.width / 2) / focal
    y = (np.arange(camera.height) + 0.5 - camera.height / 2) / focal
    return np.stack([*np.meshgrid(x, y), np.ones((camera.height, camera.width))], axis=-1)


def nominal_pose(camera: CameraSpec, hand_position: Float[np.ndarray, "3"]) -> CameraPose:
    """Returns the pose that a camera has by its specification; the vertical of the base frame is upright in its image.

    Args:
        camera: the specification.
        hand_position: where the hand is [m]; only a camera mounted on the hand needs it.

    Raises:
        UsageError: for an unknown mount, or where the target is the camera's own position.
    """
    if camera.mount not in ("base", "hand"):
        raise UsageError(f"camera {camera.name!r} has mount {camera.mount!r}; use 'base' or 'hand'")
    position, target = np.array(camera.position, float), np.array(camera.target, float)
    forward = target - position
    if not np.any(forward):
        raise UsageError(f"camera {camera.name!r} looks at its own position; move its target")
    forward /= np.linalg.norm(forward)
    # Straight up or down there is no horizon; then the base frame's y points to the top of the image.
    up = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < 1 - 1e-9 else np.array([0.0, 1.0, 0.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward], axis=1)
    return CameraPose(position + hand_position if camera.mount == "hand" else position, rotation)
