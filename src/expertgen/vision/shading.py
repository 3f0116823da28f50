"""Pictures for reports and videos by ray casting: real meshes, materials, textures and soft shadows, without OpenGL.

One ray a pixel finds the surface, rays from a round key light find its soft shadows, and three more rays through each
pixel on a border smooth it. Meant for looking at; what students see is in `expertgen.vision.raycast`.
"""

# MuJoCo's extension modules come without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from expertgen.tasks.spec import CameraSpec
from expertgen.vision.camera import nominal_pose, pixel_rays
from expertgen.vision.raycast import CAST_GROUPS, HIDDEN_GROUP, proxy_model
from expertgen.vision.surface import SurfaceColors, surface_normals

if TYPE_CHECKING:
    import mujoco

REPORT_CAMERA = CameraSpec("report", position=(0.42, 1.32, 0.70), target=(-0.01, 0.60, 0.10), fovy=40.0)
"""The whole workspace of MetaWorld's table, from the front right."""

PICTURED_GROUPS = np.array([1, 1, 1, 0, 0, 0], np.uint8)
_MAX_DISTANCE = 20.0

KEY_POSITION, _KEY_RADIUS, _KEY_SAMPLES = np.array([0.75, 0.35, 1.60]), 0.10, 6
_KEY = np.array([1.0, 0.95, 0.87])
_SKY, _GROUND, _FILL = np.array([0.50, 0.55, 0.62]), np.array([0.30, 0.27, 0.25]), np.array([0.16, 0.16, 0.17])
_SPECULAR, _SHININESS = 0.10, 40.0
_BACKGROUND = np.array([0.86, 0.88, 0.91])
GAMMA = 2.2


class Layers(NamedTuple):
    """A picture in parts, with what each pixel shows.

    Attributes:
        ambient: linear colours without the key light.
        key: linear colours that the key light adds, with its shadows.
        points: where the ray of each pixel hits [m]; the camera's position where it hits nothing.
        geoms: which geom it hits, -1 for none.
    """

    ambient: Float[np.ndarray, "height width 3"]
    key: Float[np.ndarray, "height width 3"]
    points: Float[np.ndarray, "height width 3"]
    geoms: Int[np.ndarray, "height width"]

    @property
    def linear(self) -> Float[np.ndarray, "height width 3"]:
        """Linear colours of the whole picture."""
        return self.ambient + self.key


def shaded_frame(
    model: mujoco.MjModel, data: mujoco.MjData, camera: CameraSpec = REPORT_CAMERA, width: int = 320, height: int = 240
) -> UInt8[np.ndarray, "height width 3"]:
    """Returns one shaded picture; see `FrameShader`, which is faster for many."""
    return FrameShader(model).frame(data, camera, width, height)


class FrameShader:
    """Draws pictures of one model. Copies of it that differ in body poses only can share one shader.

    Args:
        model: the simulated model; it is not changed.
        left_out: which geoms neither are seen nor throw a shadow; by default none.
    """

    def __init__(self, model: mujoco.MjModel, left_out: Bool[np.ndarray, "ngeom"] | None = None) -> None:
        import mujoco

        self._model = copy.deepcopy(model)
        self._model.body_bvhadr[:] = -1  # `mj_multiRay` would lose hits at the borders of large geoms otherwise.
        self._casters_of_shadow = proxy_model(model)
        self._casters_of_shadow.geom_group[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE] = HIDDEN_GROUP
        if left_out is not None:
            for one in (self._model, self._casters_of_shadow):
                one.geom_group[left_out] = HIDDEN_GROUP
        self._tree = np.append(model.body_rootid[model.geom_bodyid], -1)  # The last entry is that of "no geom" (-1).
        self._hand = max(0, mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "hand"))
        self._colors = SurfaceColors(model)

    def frame(
        self, data: mujoco.MjData, camera: CameraSpec = REPORT_CAMERA, width: int = 320, height: int = 240
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Returns one picture, sRGB.

        Args:
            data: simulation state whose geom poses are up to date (`mj_forward`).
            camera: where to look from; its own image size is not used.
            width: columns [pixels].
            height: rows [pixels].
        """
        return srgb(self.layers(data, replace(camera, width=width, height=height)).linear)

    def layers(self, data: mujoco.MjData, camera: CameraSpec) -> Layers:
        """Returns one picture in the parts that it is made of; the camera's own image size counts."""
        pose = nominal_pose(camera, data.xpos[self._hand])
        view = unit(pixel_rays(camera) @ pose.rotation.T)
        points, geoms = self._cast(data, pose.position, view)
        normals = surface_normals(points, geoms, view)
        light = self._shade(data, points, geoms, normals, view)
        self._smooth_borders(light, data, pose.position, view, points, geoms, normals)
        return Layers(light[..., :3], light[..., 3:], points, geoms)

    def _cast(self, data: mujoco.MjData, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns where unit rays `[..., 3]` hit, and which geoms (-1 for none)."""
        import mujoco

        count = rays.size // 3
        geoms, distances = np.empty(count, np.int32), np.empty(count)
        mujoco.mj_multiRay(
            self._model, data, origin, rays.reshape(-1), PICTURED_GROUPS, 1, -1, geoms, distances, count, _MAX_DISTANCE
        )
        points = origin + rays * np.maximum(distances, 0).reshape(*rays.shape[:-1], 1)
        return points, geoms.reshape(rays.shape[:-1])

    def _shade(
        self,
        data: mujoco.MjData,
        points: Float[np.ndarray, "height width 3"],
        geoms: Int[np.ndarray, "height width"],
        normals: Float[np.ndarray, "height width 3"],
        view: Float[np.ndarray, "height width 3"],
    ) -> Float[np.ndarray, "height width 6"]:
        """Returns linear colours, without the key light and of the key light alone with its soft shadows."""
        hit = geoms >= 0
        point, normal = points[hit], normals[hit]
        light = np.zeros((*geoms.shape, 6))
        light[..., :3] = _BACKGROUND**GAMMA
        color = self._colors(data, geoms[hit], point, normal)
        light[hit] = np.concatenate(illuminate(color, point, normal, -view[hit]), axis=1)
        light[hit, 3:] *= self._lit(data, point, geoms[hit])[:, None]
        return light

    def _lit(
        self, data: mujoco.MjData, points: Float[np.ndarray, "pixels 3"], geoms: Int[np.ndarray, "pixels"]
    ) -> Float[np.ndarray, "pixels"]:
        """Returns the share of the key light that each point sees.

        Shadows are thrown by the proxy geometry, whose boxes hold the meshes that they stand for; a shadow of an object
        on itself would therefore be wrong, and is left out.
        """
        import mujoco

        lit = np.zeros(len(points))
        blocker, distances = np.empty(len(points), np.int32), np.empty(len(points))
        for angle in 2 * np.pi * np.arange(_KEY_SAMPLES) / _KEY_SAMPLES:
            light = KEY_POSITION + _KEY_RADIUS * np.array([np.cos(angle), np.sin(angle), 0.0])
            rays = points - light
            length = np.linalg.norm(rays, axis=1)
            mujoco.mj_multiRay(
                self._casters_of_shadow, data, light, (rays / length[:, None]).reshape(-1), CAST_GROUPS, 1, -1,
                blocker, distances, len(points), _MAX_DISTANCE,
            )  # fmt: skip
            blocked = (distances >= 0) & (distances < length - 1e-3) & (self._tree[blocker] != self._tree[geoms])
            lit += ~blocked / _KEY_SAMPLES
        return lit

    def _smooth_borders(
        self,
        light: Float[np.ndarray, "height width 6"],
        data: mujoco.MjData,
        origin: Float[np.ndarray, "3"],
        view: Float[np.ndarray, "height width 3"],
        points: Float[np.ndarray, "height width 3"],
        geoms: Int[np.ndarray, "height width"],
        normals: Float[np.ndarray, "height width 3"],
    ) -> None:
        """Averages border pixels with three more rays each, in place.

        A ray takes its colour from the nearest of the 3×3 pixels around it that shows the same geom: only coverage is
        sampled more finely, which is what makes borders jagged.
        """
        rows, columns = np.nonzero(_borders(geoms, normals))
        height, width = geoms.shape
        colors = [light[rows, columns]]
        right, down = view[0, -1] - view[0, 0], view[-1, 0] - view[0, 0]
        right, down = right / (width - 1), down / (height - 1)
        near_rows = np.clip(rows[:, None] + np.repeat([-1, 0, 1], 3), 0, height - 1)
        near_columns = np.clip(columns[:, None] + np.tile([-1, 0, 1], 3), 0, width - 1)
        for x, y in ((0.35, -0.15), (-0.15, 0.35), (-0.35, -0.35)):
            hits, hit_geoms = self._cast(data, origin, unit(view[rows, columns] + x * right + y * down))
            distance = np.linalg.norm(points[near_rows, near_columns] - hits[:, None], axis=-1)
            distance[geoms[near_rows, near_columns] != hit_geoms[:, None]] = np.inf
            best = np.argmin(distance, axis=1)[:, None]
            row, column = np.take_along_axis(near_rows, best, 1)[:, 0], np.take_along_axis(near_columns, best, 1)[:, 0]
            found = np.isfinite(np.take_along_axis(distance, best, 1))
            colors.append(np.where(found, light[row, column], colors[0]))
        light[rows, columns] = np.mean(colors, axis=0)


def _borders(
    geoms: Int[np.ndarray, "height width"], normals: Float[np.ndarray, "height width 3"]
) -> Bool[np.ndarray, "height width"]:
    """Pixels beside another geom or a crease."""
    border = np.zeros(geoms.shape, bool)
    across = (geoms[:, 1:] != geoms[:, :-1]) | (np.sum(normals[:, 1:] * normals[:, :-1], axis=-1) < 0.8)
    below = (geoms[1:] != geoms[:-1]) | (np.sum(normals[1:] * normals[:-1], axis=-1) < 0.8)
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= below
    border[:-1] |= below
    return border


def illuminate(
    color: Float[np.ndarray, "n 3"],
    point: Float[np.ndarray, "n 3"],
    normal: Float[np.ndarray, "n 3"],
    eye: Float[np.ndarray, "n 3"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Returns linear colours of surface points: of sky, ground and a fill from the camera, and of the key light.

    Args:
        color: sRGB in [0, 1].
        point: where they are [m].
        normal: unit normals.
        eye: unit directions to the camera.
    """
    to_key = unit(KEY_POSITION.astype(point.dtype) - point)
    diffuse = np.clip(_dot(normal, to_key), 0, 1)
    highlight = _SPECULAR * np.clip(_dot(normal, unit(to_key + eye)), 0, 1) ** _SHININESS
    upward = 0.5 + 0.5 * normal[:, 2:]
    ambient = (1 - upward) * _GROUND + upward * _SKY + _FILL * np.clip(_dot(normal, eye), 0, 1)
    albedo = color**GAMMA
    return albedo * ambient, albedo * _KEY * diffuse + highlight


def srgb(linear: Float[np.ndarray, "*pixels 3"]) -> UInt8[np.ndarray, "*pixels 3"]:
    """Returns the picture of linear colours."""
    return np.rint(255 * np.clip(linear, 0, 1) ** (1 / GAMMA)).astype(np.uint8)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors `[..., 3]` scaled to length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sum(a * b, axis=-1, keepdims=True)
