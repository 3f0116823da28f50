"""The surface under each pixel of a ray-cast picture: its normal, and its colour by material and texture."""

# MuJoCo's extension modules come without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    import mujoco

_DEFAULT_RGBA = np.array([0.5, 0.5, 0.5, 1.0], np.float32)
"""A geom of this colour was given none, and shows its material."""
_TEXTURE_SIZE = 256


def surface_normals(
    points: Float[np.ndarray, "height width 3"],
    geoms: Int[np.ndarray, "height width"],
    view: Float[np.ndarray, "height width 3"],
) -> Float[np.ndarray, "height width 3"]:
    """Returns unit normals that face the camera, from differences between neighbouring hits on the same geom.

    Args:
        points: where each pixel's ray hit [m].
        geoms: which geom it hit, -1 for none.
        view: unit direction of each pixel's ray.
    """
    normals = np.cross(_difference(points, geoms, axis=1), _difference(points, geoms, axis=0))
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = np.where(length > 1e-12, normals / np.maximum(length, 1e-12), -view)
    normals = np.where(np.sum(normals * view, axis=-1, keepdims=True) > 0, -normals, normals)
    # Averaging with neighbours of similar direction rounds the facets of meshes and keeps creases sharp.
    total = normals.copy()
    for row, column in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for sign in (1, -1):
            shift = (sign * row, sign * column)
            near, same = np.roll(normals, shift, (0, 1)), np.roll(geoms, shift, (0, 1)) == geoms
            alike = same & (np.sum(near * normals, axis=-1) > 0.9)
            total += np.where(alike[..., None], near, 0.0)
    return total / np.linalg.norm(total, axis=-1, keepdims=True)


def _difference(points: np.ndarray, geoms: np.ndarray, axis: int) -> np.ndarray:
    """The shorter of the differences to the two neighbours on the same geom along an axis; 0 if there is none."""
    best, best_length = np.zeros_like(points), np.full(geoms.shape, np.inf)
    for step in (1, -1):
        difference = (np.roll(points, -step, axis) - points) * step
        length = np.linalg.norm(difference, axis=-1)
        length[np.roll(geoms, -step, axis) != geoms] = np.inf
        np.moveaxis(length, axis, 0)[-1 if step > 0 else 0] = np.inf  # np.roll wraps around: no neighbour here.
        shorter = length < best_length
        best[shorter], best_length[shorter] = difference[shorter], length[shorter]
    return best


class SurfaceColors:
    """Colours of geoms by material and texture.

    Textures are projected along the geom's own axis that is nearest to the normal, which is exact for boxes and planes.

    Args:
        model: the simulated model.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        import mujoco

        self._model = model
        by_material = np.all(model.geom_rgba == _DEFAULT_RGBA, axis=1) & (model.geom_matid >= 0)
        material = model.geom_matid[by_material]
        self._rgb = model.geom_rgba[:, :3].astype(float)
        self._rgb[by_material] = model.mat_rgba[material, :3]
        self._texture = np.full(model.ngeom, -1)
        self._texture[by_material] = model.mat_texid[material, int(mujoco.mjtTextureRole.mjTEXROLE_RGB)]
        self._images = {t: _texture_image(model, t) for t in set(self._texture[self._texture >= 0].tolist())}

    def __call__(
        self,
        data: mujoco.MjData,
        geoms: Int[np.ndarray, "pixels"],
        points: Float[np.ndarray, "pixels 3"],
        normals: Float[np.ndarray, "pixels 3"],
    ) -> Float[np.ndarray, "pixels 3"]:
        """Returns sRGB in [0, 1]; the last geom's where a pixel has none (-1)."""
        colors = self._rgb[geoms]
        seen = np.bincount(geoms[geoms >= 0], minlength=len(self._texture)) > 0
        for g in np.flatnonzero(seen & (self._texture >= 0)):
            pixels = np.flatnonzero(geoms == g)
            turn = data.geom_xmat[g].reshape(3, 3)
            local, normal = (points[pixels] - data.geom_xpos[g]) @ turn, np.abs(normals[pixels] @ turn)
            # An endless plane has the size 0: there one texture covers 2 m.
            size = self._model.geom_size[g]
            unit = local / (2 * np.where(size > 0, size, 1.0)) + 0.5
            axis = np.argmax(normal, axis=1)
            rows = np.arange(len(pixels))
            # The two axes other than the one looked along.
            uv = np.stack([unit[rows, np.where(axis == 0, 1, 0)], unit[rows, np.where(axis == 2, 1, 2)]], axis=1)
            uv *= self._model.mat_texrepeat[self._model.geom_matid[g]]
            colors[pixels] *= _bilinear(self._images[self._texture[g]], uv)
        return colors


def _texture_image(model: mujoco.MjModel, texture: int) -> np.ndarray:
    """A texture (of a cube one face) as `[h, w, 3]` in [0, 1], averaged down to about `_TEXTURE_SIZE` pixels a side."""
    width, channels = int(model.tex_width[texture]), int(model.tex_nchannel[texture])
    height = min(int(model.tex_height[texture]), width)
    start = int(model.tex_adr[texture])
    image = model.tex_data[start : start + height * width * channels].reshape(height, width, channels)[..., :3] / 255.0
    factor = max(1, width // _TEXTURE_SIZE)
    height, width = height // factor, width // factor
    return image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3).mean(axis=(1, 3))


def _bilinear(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Samples a repeating image at `uv` `[n, 2]`, where 1 is its whole width or height."""
    position = uv[:, ::-1] * image.shape[:2] - 0.5
    corner = np.floor(position).astype(int)
    part = position - corner
    total = np.zeros((len(uv), 3))
    for row in (0, 1):
        for column in (0, 1):
            weight = np.abs(1 - row - part[:, 0]) * np.abs(1 - column - part[:, 1])
            i, j = (corner[:, 0] + row) % image.shape[0], (corner[:, 1] + column) % image.shape[1]
            total += weight[:, None] * image[i, j]
    return total
