"""Shaded pictures in real time without OpenGL, for people who steer a robot by them.

What stands still is ray-cast once, with soft shadows (`FrameShader`). What moves is drawn over it by a z-buffer, and
throws its shadow by rays against simple shapes, one for every second pixel in each direction.
"""

# MuJoCo's extension modules come without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from expertgen.tasks.spec import CameraSpec
from expertgen.vision.camera import CameraPose, nominal_pose, pixel_rays
from expertgen.vision.raycast import CAST_GROUPS, HIDDEN_GROUP, proxy_model, visible_geoms
from expertgen.vision.scene import Scene, restore
from expertgen.vision.shading import (
    GAMMA,
    KEY_POSITION,
    PICTURED_GROUPS,
    FrameShader,
    Layers,
    illuminate,
    unit,
)
from expertgen.vision.surface import SurfaceColors
from expertgen.vision.triangles import Surface, geom_surface, rasterize

if TYPE_CHECKING:
    import mujoco

_NEAR = 0.05
"""Triangles nearer to the camera than this [m] are left out."""

_MARK_COLOR, _MARK_OPACITY, _MARK_RADIUS = np.array([0.0, 0.55, 0.28], np.float32), 0.75, 0.014

_TONES = 1 << 14
_SRGB = np.rint(255 * (np.arange(_TONES) / (_TONES - 1)) ** (1 / GAMMA)).astype(np.uint8)


class _View(NamedTuple):
    """A camera, and what of its picture does not move.

    Attributes:
        camera: where to look from.
        pose: the same as a rotation and a position.
        focal: focal length [pixels].
        rays: direction of each pixel in the base frame `[pixels, 3]`, scaled to planar depth 1.
        backdrop: the picture of what stands still.
        inverse_depth: of the backdrop, 0 where nothing is hit.
        standing: the poses of all geoms in the backdrop, as bytes: with others it has to be drawn anew.
    """

    camera: CameraSpec
    pose: CameraPose
    focal: float
    rays: Float[np.ndarray, "pixels 3"]
    backdrop: Layers
    inverse_depth: Float[np.ndarray, "pixels"]
    standing: bytes


class LiveShader:
    """Draws many pictures of one simulation, each of 320×240 in some 15 ms of one core.

    The first picture through a camera, and the first after something has moved that usually does not (the furniture of
    MetaWorld's tasks, at every reset), takes about 0.2 s.

    Args:
        model: the simulated model; it is not changed.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        import mujoco

        self._model = model
        self._data = mujoco.MjData(model)
        body = model.geom_bodyid
        moves = (model.body_weldid[body] != 0) | (model.body_mocapid[model.body_rootid[body]] >= 0)
        self._stands = ~moves
        self._backdrops = FrameShader(model, left_out=moves)
        self._colors = SurfaceColors(model)
        self._views: dict[str, _View] = {}
        shown = moves & visible_geoms(model) & (PICTURED_GROUPS[model.geom_group] == 1)
        found = ((int(geom), geom_surface(model, int(geom))) for geom in np.flatnonzero(shown))
        self._surfaces: list[tuple[int, Surface]] = [(geom, one) for geom, one in found if one is not None]
        self._boxes = np.array([_corners(one.vertices) for _, one in self._surfaces])
        self._casters_of_shadow = proxy_model(model)
        self._casters_of_shadow.geom_group[~moves] = HIDDEN_GROUP
        self._tree = np.append(model.body_rootid[body], -1)  # The last entry is that of "no geom" (-1).

    def frame(
        self, scene: Scene, camera: CameraSpec, mark: Float[np.ndarray, "3"] | None = None
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Returns one picture, sRGB.

        Args:
            scene: the moment to draw.
            camera: where to look from, fixed in the base frame; its image size is the picture's.
            mark: a point to mark with a small ball [m], such as the goal.
        """
        restore(self._data, scene)
        view = self._view(camera)
        ambient, key = (np.array(part, np.float32).reshape(-1, 3) for part in view.backdrop[:2])
        inverse_depth = view.inverse_depth.copy()
        geoms = view.backdrop.geoms.ravel().copy()
        self._draw_moving(view, ambient, key, inverse_depth, geoms)
        key *= self._visible_key(view, inverse_depth, geoms)[:, None]
        linear = (ambient + key).reshape(camera.height, camera.width, 3)
        _soften(linear, geoms.reshape(linear.shape[:2]), self._stands)
        if mark is not None:
            _draw_mark(linear, view, inverse_depth, mark)
        return _SRGB[(np.clip(linear, 0, 1) * (_TONES - 1)).astype(np.int16)]

    def _view(self, camera: CameraSpec) -> _View:
        standing = self._data.geom_xpos[self._stands].tobytes() + self._data.geom_xmat[self._stands].tobytes()
        view = self._views.get(camera.name)
        if view is None or view.standing != standing or view.camera != camera:
            pose = nominal_pose(camera, np.zeros(3))
            backdrop = self._backdrops.layers(self._data, camera)
            depth = ((backdrop.points - pose.position) @ pose.rotation[:, 2]).ravel()
            inverse_depth = np.divide(1, depth, out=np.zeros_like(depth), where=backdrop.geoms.ravel() >= 0)
            focal = camera.height / (2 * np.tan(np.radians(camera.fovy) / 2))
            rays = (pixel_rays(camera) @ pose.rotation.T).reshape(-1, 3).astype(np.float32)
            view = _View(camera, pose, focal, rays, backdrop, inverse_depth.astype(np.float32), standing)
            self._views[camera.name] = view
        return view

    def _draw_moving(
        self,
        view: _View,
        ambient: Float[np.ndarray, "pixels 3"],
        key: Float[np.ndarray, "pixels 3"],
        inverse_depth: Float[np.ndarray, "pixels"],
        geoms: Int[np.ndarray, "pixels"],
    ) -> None:
        """Draws what moves over the backdrop, in place."""
        triangles, normals, owners = [], [], []
        for geom, surface in self._surfaces:
            screen = self._project(view, geom, surface.vertices)
            low, high = screen.min(axis=1), screen.max(axis=1)
            if high[2] <= 0 or min(high[:2]) < 0 or low[0] > view.camera.width or low[1] > view.camera.height:
                continue
            corners = np.take(screen, surface.faces.T, axis=1)  # unlike screen[:, faces], in C order
            usable = (corners[2] > 0).all(axis=0) if low[2] <= 0 else slice(None)
            triangles.append(corners[:, :, usable])
            normals.append(surface.normals[usable])
            owners.append(np.full(len(normals[-1]), geom, np.int32))
        if not triangles:
            return
        found = rasterize(np.concatenate(triangles, axis=2), view.camera.width, view.camera.height)
        front = found.inverse_depth > inverse_depth[found.pixels]
        pixels, chosen = found.pixels[front], found.triangles[front]
        owner = np.concatenate(owners)[chosen]
        inverse_depth[pixels], geoms[pixels] = found.inverse_depth[front], owner
        local = np.einsum("nc,ncx->nx", found.weights[front], np.concatenate(normals)[chosen])
        turn = self._data.geom_xmat.astype(np.float32).reshape(-1, 3, 3)
        points, eye = self._points(view, pixels, inverse_depth), -unit(view.rays[pixels])
        normal = np.einsum("nxy,ny->nx", turn[owner], local)
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        normal = np.where(length > 1e-6, normal / np.maximum(length, 1e-6), eye)
        # MetaWorld's meshes have holes, and triangles that are turned inside out: both sides are drawn.
        normal *= np.sign(np.einsum("nx,nx->n", normal, eye))[:, None]
        color = self._colors(self._data, owner, points, normal).astype(np.float32)
        ambient[pixels], key[pixels] = illuminate(color, points, normal, eye)

    def _project(self, view: _View, geom: int, vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "3 v"]:
        """Returns columns, rows and inverse depths of a geom's vertices; inverse depth is 0 for those too near."""
        to_camera = view.pose.rotation.T
        turn = to_camera @ self._data.geom_xmat[geom].reshape(3, 3)
        shift = to_camera @ (self._data.geom_xpos[geom] - view.pose.position)
        screen = turn.astype(np.float32) @ vertices.T + shift.astype(np.float32)[:, None]
        near = screen[2] < _NEAR
        screen[2] = 1 / np.maximum(screen[2], _NEAR)
        screen[:2] *= np.float32(view.focal) * screen[2]
        screen[0] += view.camera.width / 2
        screen[1] += view.camera.height / 2
        screen[2, near] = 0
        return screen

    @staticmethod
    def _points(view: _View, pixels: np.ndarray, inverse_depth: np.ndarray) -> Float[np.ndarray, "n 3"]:
        return view.rays[pixels] / inverse_depth[pixels, None] + view.pose.position.astype(np.float32)

    def _visible_key(
        self, view: _View, inverse_depth: Float[np.ndarray, "pixels"], geoms: Int[np.ndarray, "pixels"]
    ) -> Float[np.ndarray, "pixels"]:
        """Returns the share of the key light that what moves lets through to each pixel."""
        import mujoco

        height, width = view.camera.height, view.camera.width
        grid = np.arange(height * width).reshape(height, width)[::2, ::2].ravel()
        grid = grid[inverse_depth[grid] > 0]
        points = self._points(view, grid, inverse_depth)
        near = self._in_shadow_of_box(points)
        grid, points = grid[near], points[near]
        let_through = np.ones(height * width, np.float32).reshape(height, width)
        if not len(grid):
            return let_through.ravel()
        rays = points - KEY_POSITION
        length = np.linalg.norm(rays, axis=1)
        blocker, distances = np.empty(len(grid), np.int32), np.empty(len(grid))
        mujoco.mj_multiRay(
            self._casters_of_shadow, self._data, KEY_POSITION, (rays / length[:, None]).reshape(-1), CAST_GROUPS, 1,
            -1, blocker, distances, len(grid), 20.0,
        )  # fmt: skip
        blocked = (distances >= 0) & (distances < length - 1e-3) & (self._tree[blocker] != self._tree[geoms[grid]])
        let_through.ravel()[grid[blocked]] = 0.0
        coarse = let_through[::2, ::2]
        for axis in (0, 1):
            coarse = _blurred(coarse, axis)
        fine = np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1)[:height, :width]
        for axis in (0, 1):
            fine = _blurred(fine, axis)
        return fine.ravel()

    def _in_shadow_of_box(self, points: Float[np.ndarray, "n 3"]) -> np.ndarray:
        """Which points can lie in the shadow of something that moves, judged by shadows on the plane z = 0."""
        if not self._surfaces:
            return np.zeros(len(points), bool)
        geoms = [geom for geom, _ in self._surfaces]
        turn = self._data.geom_xmat[geoms].reshape(-1, 3, 3)
        corners = np.einsum("gxy,gcy->gcx", turn, self._boxes) + self._data.geom_xpos[geoms][:, None]
        shadows, thrown = _thrown(corners.reshape(-1, 3)), _thrown(points)
        return np.all((thrown >= shadows.min(axis=0)) & (thrown <= shadows.max(axis=0)), axis=1)


def _thrown(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """Where the key light throws the shadow of points on the plane z = 0; what is as high as the light, far away."""
    drop = np.maximum(KEY_POSITION[2] - points[:, 2:], 1e-3)
    return KEY_POSITION[:2] + (points[:, :2] - KEY_POSITION[:2]) * KEY_POSITION[2] / drop


def _corners(vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "8 3"]:
    """Corners of the box around vertices."""
    ends = np.stack([vertices.min(axis=0), vertices.max(axis=0)])
    return np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(8, 3)


def _blurred(image: Float[np.ndarray, "height width"], axis: int) -> Float[np.ndarray, "height width"]:
    """An image whose pixels take half of their value from their two neighbours along an axis."""
    image = np.moveaxis(image, axis, 0)
    result = image.copy()
    result[1:-1] = 0.5 * image[1:-1] + 0.25 * (image[2:] + image[:-2])
    return np.moveaxis(result, 0, axis)


def _soften(
    linear: Float[np.ndarray, "height width 3"], geoms: Int[np.ndarray, "height width"], stands: np.ndarray
) -> None:
    """Makes the borders of what moves less jagged, in place: half of such a pixel is the mean of its neighbours."""
    moves = np.append(~stands, False)[geoms]
    border = np.zeros(geoms.shape, bool)
    for one, other in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
        change = (geoms[one] != geoms[other]) & (moves[one] | moves[other])
        border[one] |= change
        border[other] |= change
    rows, columns = np.nonzero(border[1:-1, 1:-1])
    rows, columns = rows + 1, columns + 1
    around = sum(linear[rows + y, columns + x] for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0)))
    linear[rows, columns] = 0.5 * linear[rows, columns] + 0.125 * around


def _draw_mark(
    linear: Float[np.ndarray, "height width 3"],
    view: _View,
    inverse_depth: Float[np.ndarray, "pixels"],
    mark: Float[np.ndarray, "3"],
) -> None:
    """Draws a ball into the picture, in place; behind something it shines through."""
    local = view.pose.rotation.T @ (mark - view.pose.position)
    if local[2] < _NEAR:
        return
    height, width = linear.shape[:2]
    radius = max(2.5, _MARK_RADIUS * view.focal / local[2])
    column, row = local[:2] * view.focal / local[2] + (width / 2 - 0.5, height / 2 - 0.5)
    top, left = max(0, int(row - radius) - 1), max(0, int(column - radius) - 1)
    box = np.s_[top : int(row + radius) + 2, left : int(column + radius) + 2]
    part = linear[box]
    if not part.size:
        return
    y, x = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]]
    distance = np.hypot(y - row, x - column)
    cover = np.clip(radius - distance + 0.5, 0, 1)
    hidden = inverse_depth.reshape(height, width)[box] > 1 / max(_NEAR, local[2] - _MARK_RADIUS)
    rim = np.where(distance > radius - 1.5, 1.0, 0.75)
    cover = (cover * np.where(hidden, 0.35, _MARK_OPACITY) * rim).astype(np.float32)[..., None]
    shade = (0.7 + 0.3 * np.clip(-(y - row) / radius, -1, 1)).astype(np.float32)[..., None]
    part += cover * (_MARK_COLOR * shade - part)
