"""Surfaces of geoms as triangles, and a z-buffer: what moves is drawn so, because rays against fine meshes are slow.

A ray that hits a mesh of the arm costs 2 to 12 µs. A frame has some ten thousand of them.
"""

# MuJoCo's extension modules come without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    import mujoco

_AROUND, _UP = 20, 10
"""Segments of round shapes, around their axis and along a meridian."""

_SEAM = 0.02
"""Triangles are this much larger, so that rounding leaves no holes where two of them meet."""


class Surface(NamedTuple):
    """The surface of one geom, in the geom's own frame.

    Attributes:
        vertices: float32 `[v, 3]` [m].
        faces: `[f, 3]`, the vertices of each triangle.
        normals: float32 `[f, 3, 3]`, the unit normal at each corner of each triangle.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    normals: Float[np.ndarray, "f 3 3"]


class Fragments(NamedTuple):
    """The pixels of a picture that show a triangle.

    Attributes:
        pixels: `[n]`, ascending, counted row by row.
        triangles: `[n]`, which triangle each shows.
        weights: `[n, 3]`, barycentric coordinates in the picture; they sum to 1.
        inverse_depth: `[n]`.
    """

    pixels: Int[np.ndarray, "n"]
    triangles: Int[np.ndarray, "n"]
    weights: Float[np.ndarray, "n 3"]
    inverse_depth: Float[np.ndarray, "n"]


def geom_surface(model: mujoco.MjModel, geom: int) -> Surface | None:
    """Returns the surface of a geom, or None for shapes that are never in motion (planes, height fields)."""
    import mujoco

    kind, size = mujoco.mjtGeom(int(model.geom_type[geom])), model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        return _mesh(model, int(model.geom_dataid[geom]))
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return _box(size)
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return _round(np.full(3, size[0]), 0.0)
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return _round(size, 0.0)
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return _round(np.full(3, size[0]), size[1])
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return _cylinder(size[0], size[1])
    return None


def rasterize(corners: Float[np.ndarray, "3 3 f"], width: int, height: int) -> Fragments:
    """Finds the nearest triangle at the centre of each pixel.

    Args:
        corners: columns, rows (0 is the outer edge of the first) and inverse depths, each of the three corners of all
            triangles. Inverse depth is linear over the picture of a plane.
        width: columns of the picture.
        height: its rows.
    """
    # The centres of pixels, at half integers, that lie in each triangle's box.
    left, right = _span(corners[0], width)
    top, bottom = _span(corners[1], height)
    seen = np.flatnonzero((left <= right) & (top <= bottom))
    left, top = left[seen], top[seen]
    columns = right[seen] - left + 1
    count = columns * (bottom[seen] - top + 1)
    triangle = np.repeat(np.arange(len(seen)), count)
    place = np.arange(len(triangle)) - np.repeat(np.cumsum(count) - count, count)
    row, column = np.divmod(place.astype(np.int32), columns[triangle])
    column, row = column + left[triangle], row + top[triangle]
    (ax, bx, cx), (ay, by, cy), depths = np.take(corners, seen, axis=2)
    area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
    with np.errstate(divide="ignore", invalid="ignore"):  # a triangle seen edge on covers nothing: NaN is not >= 0
        slopes = np.stack([by - cy, cx - bx, cy - ay, ax - cx]) / area
        dx, dy = column + np.float32(0.5) - cx[triangle], row + np.float32(0.5) - cy[triangle]
        first = slopes[0, triangle] * dx + slopes[1, triangle] * dy
        second = slopes[2, triangle] * dx + slopes[3, triangle] * dy
        inside = np.flatnonzero((first >= -_SEAM) & (second >= -_SEAM) & (first + second <= 1 + _SEAM))
    triangle, first, second = triangle[inside], first[inside], second[inside]
    pixel = row[inside] * width + column[inside]
    third = 1 - first - second
    inverse_depth = first * depths[0, triangle] + second * depths[1, triangle] + third * depths[2, triangle]
    nearest = np.zeros(width * height, inverse_depth.dtype)
    np.maximum.at(nearest, pixel, inverse_depth)
    shown = np.flatnonzero(inverse_depth == nearest[pixel])
    owner = np.full(width * height, -1)
    owner[pixel[shown]] = shown
    pixels = np.flatnonzero(owner >= 0)
    winners = owner[pixels]
    weights = np.stack([first[winners], second[winners], third[winners]], axis=1)
    return Fragments(pixels, seen[triangle[winners]], weights, inverse_depth[winners])


def _span(corners: Float[np.ndarray, "3 f"], size: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last pixel whose centre lies between the corners, cut to the picture."""
    low, high = corners.min(axis=0) - 0.5, corners.max(axis=0) - 0.5
    return np.clip(np.ceil(low), 0, size).astype(np.int32), np.clip(np.floor(high), -1, size - 1).astype(np.int32)


def _mesh(model: mujoco.MjModel, mesh: int) -> Surface:
    def part(array: np.ndarray, start: np.ndarray, number: np.ndarray) -> np.ndarray:
        return array[start[mesh] : start[mesh] + number[mesh]]

    vertices = part(model.mesh_vert, model.mesh_vertadr, model.mesh_vertnum)
    faces = part(model.mesh_face, model.mesh_faceadr, model.mesh_facenum)
    normals = part(model.mesh_normal, model.mesh_normaladr, model.mesh_normalnum)
    corners = part(model.mesh_facenormal, model.mesh_faceadr, model.mesh_facenum)
    return _surface(vertices, faces, normals[corners])


def _box(half: np.ndarray) -> Surface:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))])
    return _flat(corners * half, faces)


def _flat(vertices: np.ndarray, faces: np.ndarray) -> Surface:
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return _surface(vertices, faces, np.repeat(normals[:, None], 3, axis=1))


def _round(radii: np.ndarray, half_length: float) -> Surface:
    """An ellipsoid, or a capsule: a sphere that is cut at its equator and drawn apart along z."""
    # The equator is there twice, once for each half.
    latitude = np.linspace(-np.pi / 2, np.pi / 2, _UP + 1)
    latitude = np.concatenate([latitude[: _UP // 2 + 1], latitude[_UP // 2 :]])
    shift = np.repeat([-half_length, half_length], _UP // 2 + 1)
    longitude = 2 * np.pi * np.arange(_AROUND) / _AROUND
    unit = np.stack(
        [
            np.outer(np.cos(latitude), np.cos(longitude)),
            np.outer(np.cos(latitude), np.sin(longitude)),
            np.repeat(np.sin(latitude)[:, None], _AROUND, axis=1),
        ],
        axis=-1,
    )
    vertices = unit * radii + np.array([0, 0, 1]) * shift[:, None, None]
    normals = unit / radii
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    faces = _grid(len(latitude))
    return _surface(vertices.reshape(-1, 3), faces, normals.reshape(-1, 3)[faces])


def _cylinder(radius: float, half_length: float) -> Surface:
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    around = np.stack([np.cos(angle), np.sin(angle), np.zeros(_AROUND)], axis=1)
    end = np.array([0.0, 0.0, half_length])
    vertices = np.concatenate([around * radius - end, around * radius + end, [-end, end]])
    wall, ring = _grid(2), np.arange(_AROUND)
    after = np.roll(ring, -1)
    bottom = np.stack([after, ring, np.full(_AROUND, 2 * _AROUND)], axis=1)
    top = np.stack([ring + _AROUND, after + _AROUND, np.full(_AROUND, 2 * _AROUND + 1)], axis=1)
    ends = _flat(vertices, np.concatenate([bottom, top]))
    normals = np.concatenate([np.tile(around, (2, 1))[wall], ends.normals])
    return _surface(ends.vertices, np.concatenate([wall, ends.faces]), normals)


def _grid(rings: int) -> Int[np.ndarray, "f 3"]:
    """Triangles between rings of `_AROUND` vertices each, from the lowest to the highest."""
    ring, step = np.meshgrid(np.arange(rings - 1), np.arange(_AROUND), indexing="ij")
    a = (ring * _AROUND + step).ravel()
    b = (ring * _AROUND + (step + 1) % _AROUND).ravel()
    quads = np.stack([a, b, b + _AROUND, a, b + _AROUND, a + _AROUND], axis=1)
    return quads.reshape(-1, 3)


def _surface(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> Surface:
    return Surface(vertices.astype(np.float32), faces.astype(np.int32), normals.astype(np.float32))
