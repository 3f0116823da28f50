"""What makes a real camera worse than a simulated one: it stands not quite where it should, and its depth is noisy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from expertgen.runs.ranges import Natural, NotNegative, Share, check_ranges
from expertgen.vision.camera import CameraPose

_STRENGTHS = ("depth_noise", "pixel_dropout", "point_dropout")


@dataclass(frozen=True)
class CameraRandomization:
    """Strengths of the imperfections of the cameras; with all of them 0 the cameras are perfect.

    The student is never told the errors: each camera is believed to stand where its specification says, as on a robot
    whose calibration is off. Only the table in its image corrects its height and tilt (`expertgen.vision.level`).
    """

    position: NotNegative = 0.0
    """Largest error of a camera's position along each axis [m]; drawn uniformly for each camera and episode."""
    rotation: NotNegative = 0.0
    """Largest error of its orientation about each of its axes [degrees]; drawn uniformly like the position's."""
    depth_noise: NotNegative = 0.0
    """Standard deviation of Gaussian noise on the depth of each pixel of each image [m]."""
    pixel_dropout: Share = 0.0
    """Share of the pixels without a return, drawn anew for each image."""
    point_dropout: Share = 0.0
    """Share of the points that are missing from the cloud, drawn anew for each cloud."""
    latency: Natural = 0
    """Largest age of what the student sees [decisions]; drawn uniformly from 0 to this for each episode."""

    def __post_init__(self) -> None:
        check_ranges(self, "randomization")

    def weakened(self, generator: np.random.Generator) -> CameraRandomization:
        """Draws an episode's own strengths of noise and dropouts, from 0 to these."""
        drawn = {name: getattr(self, name) * generator.random() for name in _STRENGTHS}
        return replace(self, **drawn)

    def draw_pose_error(self, generator: np.random.Generator) -> CameraPose:
        """Draws one camera's error for an episode: an offset in the base frame and a turn in the camera's own frame."""
        offset = generator.uniform(-self.position, self.position, 3)
        turn = np.radians(generator.uniform(-self.rotation, self.rotation, 3))
        return CameraPose(offset, rotation_matrix(turn))

    def draw_latency(self, generator: np.random.Generator) -> int:
        """Draws an episode's latency [decisions]."""
        return int(generator.integers(self.latency + 1))

    def disturb_depth(
        self, depth: Float[np.ndarray, "cameras height width"], generator: np.random.Generator
    ) -> Float[np.ndarray, "cameras height width"]:
        """Returns images with noise and dropout; 0 still means no return."""
        seen = depth > 0
        if self.depth_noise > 0:
            depth = depth + np.float32(self.depth_noise) * generator.standard_normal(depth.shape, np.float32)
        if self.pixel_dropout > 0:
            seen &= generator.random(depth.shape, np.float32) >= self.pixel_dropout
        return np.where(seen, np.maximum(depth, 0.0), 0.0)

    def drop_points(self, points: Float[np.ndarray, "m 3"], generator: np.random.Generator) -> np.ndarray:
        """Returns the points that are left."""
        if self.point_dropout == 0:
            return points
        return points[generator.random(len(points)) >= self.point_dropout]


def displaced(pose: CameraPose, error: CameraPose) -> CameraPose:
    """Returns where a camera really is, given where it is believed to be and its error."""
    return CameraPose(pose.position + error.position, pose.rotation @ error.rotation)


def rotation_matrix(turn: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Returns the rotation about the axis `turn` by its length [rad] (Rodrigues' formula)."""
    angle = float(np.linalg.norm(turn))
    if angle == 0:
        return np.eye(3)
    x, y, z = turn / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
