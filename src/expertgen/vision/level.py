"""Levelling a camera on the table that it sees: the half of a calibration that a picture of a table gives for free.

A camera that stands wrong by 3 cm and 3 degrees sees the table, and everything on it, up to 10 cm too high or too low.
But the table is known to be the plane z = 0. Fitting a plane to the image tells the camera's true height and its true
tilt; what stays unknown is a shift along the table and a turn about the vertical.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from expertgen.vision.camera import CameraPose
from expertgen.vision.points import unproject

_SLAB = 0.15
_TRIMS = (0.05, 0.025, 0.012, 0.01, 0.01)
_MIN_PIXELS = 40
_MAX_SHIFT, _MAX_TILT = 0.05, np.radians(8.0)


def levelled(
    pose: CameraPose, depth: Float[np.ndarray, "height width"], rays: Float[np.ndarray, "height width 3"]
) -> CameraPose:
    """Returns the pose, corrected in height and tilt such that the table in the image is the plane z = 0.

    The plane is a least-squares fit to what lies within 15 cm of z = 0, trimmed in five rounds down to 1 cm, on every
    second pixel. Where it would move the camera by more than 5 cm or tilt it by more than 8 degrees, it was not the
    table (the top of a box that fills the image), and the pose is returned as it came.

    Args:
        pose: where the camera is believed to be.
        depth: its image [m], 0 without a return.
        rays: `pixel_rays` of the camera.
    """
    depth, rays = depth[::2, ::2], rays[::2, ::2]
    points = unproject(depth, rays, pose)
    points = points[(depth > 0) & (np.abs(points[..., 2]) < _SLAB)].astype(float)
    # z = a·x + b·y + c, with x and y counted from the camera, so that c is the table's height below it.
    columns = np.column_stack([points[:, :2] - pose.position[:2], np.ones(len(points))])
    inside = np.ones(len(points), bool)
    plane = np.zeros(3)
    for trim in _TRIMS:
        if np.count_nonzero(inside) < _MIN_PIXELS:
            return pose
        kept = columns[inside]
        # The small ridge keeps a row of points, which has no plane, solvable.
        plane = np.linalg.solve(kept.T @ kept + 1e-9 * np.eye(3), kept.T @ points[inside, 2])
        inside = np.abs(columns @ plane - points[:, 2]) < trim
    normal = np.array([-plane[0], -plane[1], 1.0]) / np.sqrt(1 + plane[0] ** 2 + plane[1] ** 2)
    height = normal[2] * (pose.position[2] - plane[2])
    if abs(height - pose.position[2]) > _MAX_SHIFT or np.arccos(normal[2]) > _MAX_TILT:
        return pose
    position = np.array([pose.position[0], pose.position[1], height])
    return CameraPose(position, _turn_upright(normal) @ pose.rotation)


def _turn_upright(normal: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation that takes a unit vector to the z axis."""
    x, y, z = normal
    cross = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + z)
