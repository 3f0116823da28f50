"""Triangles and their z-buffer, by hand."""

import mujoco
import numpy as np
import pytest

from expertgen.vision.triangles import geom_surface, rasterize


def corners(*triangles):
    """[triangle, corner, (x, y, inverse depth)] in the order that `rasterize` takes."""
    return np.array(triangles, np.float32).transpose(2, 1, 0).copy()


def test_a_triangle_covers_the_pixels_whose_centres_it_holds():
    found = rasterize(corners([(0, 0, 1), (4, 0, 1), (0, 4, 1)]), 6, 5)
    rows, columns = np.divmod(found.pixels, 6)
    # Centres with (column + ½) + (row + ½) ≤ 4.
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [
        (r, c) for r in range(5) for c in range(6) if r + c + 1 <= 4
    ]
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found.inverse_depth, 1, atol=1e-6)


def test_corners_weigh_as_they_are_near():
    found = rasterize(corners([(0.5, 0.5, 1), (4.5, 0.5, 2), (0.5, 4.5, 3)]), 5, 5)
    place = {int(pixel): i for i, pixel in enumerate(found.pixels)}
    np.testing.assert_allclose(found.weights[place[0]], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found.weights[place[1 * 5 + 2]], [0.25, 0.5, 0.25], atol=1e-6)
    assert found.inverse_depth[place[1 * 5 + 2]] == pytest.approx(2.0)


def test_the_nearest_triangle_is_seen_whatever_the_order_and_winding():
    far, near = [(0, 0, 1), (8, 0, 1), (0, 8, 1)], [(0, 8, 2), (8, 0, 2), (0, 0, 2)]
    for order, winner in (([far, near], 1), ([near, far], 0)):
        found = rasterize(corners(*order), 8, 8)
        assert set(found.triangles.tolist()) == {winner}


def test_what_is_outside_or_seen_edge_on_covers_nothing():
    edge = [(0, 0, 1), (4, 4, 1), (8, 8, 1)]
    outside = [(-9, -9, 1), (-1, -9, 1), (-9, -1, 1)]
    assert len(rasterize(corners(edge, outside), 8, 8).pixels) == 0
    assert len(rasterize(np.zeros((3, 3, 0), np.float32), 8, 8).pixels) == 0


SHAPES = {
    "box": ('type="box" size="0.1 0.2 0.3"', 8 * 0.1 * 0.2 * 0.3),
    "sphere": ('type="sphere" size="0.1"', 4 / 3 * np.pi * 0.1**3),
    "ellipsoid": ('type="ellipsoid" size="0.1 0.2 0.3"', 4 / 3 * np.pi * 0.1 * 0.2 * 0.3),
    "capsule": ('type="capsule" size="0.1 0.2"', 4 / 3 * np.pi * 0.1**3 + np.pi * 0.1**2 * 0.4),
    "cylinder": ('type="cylinder" size="0.1 0.2"', np.pi * 0.1**2 * 0.4),
}


@pytest.mark.parametrize("name", SHAPES)
def test_surfaces_are_closed_and_hold_the_volume_of_their_shape(name):
    attributes, volume = SHAPES[name]
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody><geom {attributes}/></worldbody></mujoco>")
    surface = geom_surface(model, 0)
    a, b, c = (surface.vertices[surface.faces[:, corner]] for corner in range(3))
    # The divergence theorem; it holds only for closed surfaces whose triangles all are turned the same way.
    assert np.einsum("fx,fx->", a, np.cross(b, c)) / 6 == pytest.approx(volume, rel=0.06)
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=-1), 1, atol=1e-5)
    outwards = np.cross(b - a, c - a)
    there = np.linalg.norm(outwards, axis=1) > 1e-9  # the triangles at the poles have no area
    assert (np.einsum("fx,fcx->fc", outwards, surface.normals)[there] > 0).all()


def test_planes_have_no_triangles():
    model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom type="plane" size="1 1 1"/></worldbody></mujoco>')
    assert geom_surface(model, 0) is None
