"""Depth images: by hand, against single rays, and against OpenGL's depth buffer."""

from __future__ import annotations

import os
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task
from expertgen.tasks.spec import CameraSpec
from expertgen.vision.camera import nominal_pose, pixel_rays
from expertgen.vision.points import Workspace
from expertgen.vision.raycast import CAST_GROUPS, HIDDEN_GROUP, MAX_DEPTH, DepthCaster, proxy_model
from tests.vision.scenes import SLANTED, scene

EVERYWHERE = Workspace((-2, -2, -2), (2, 2, 2))
DOWN = CameraSpec("down", (0.1, 0.6, 1.1), (0.1, 0.6, 0.0), fovy=60, width=9, height=9)


def cast(model, data, camera, workspace=EVERYWHERE):
    hand = data.body("hand").xpos
    return DepthCaster(model, (camera,), workspace).cast(data, [nominal_pose(camera, hand)])[0]


def test_depth_is_planar_and_has_the_right_size():
    depth = cast(*scene(), DOWN)
    assert depth.shape == (9, 9)
    assert depth.dtype == np.float32
    # Straight down from 1.1 m: the block's top is 1.0 m away, the table 1.1 m, also in the corners of the image,
    # whose rays are a third longer.
    assert depth[4, 4] == pytest.approx(1.0, abs=1e-6)
    assert depth[0, 0] == pytest.approx(1.1, abs=1e-6)
    assert depth[8, 8] == pytest.approx(1.1, abs=1e-6)


def test_the_image_is_the_right_way_round():
    # The hand, at (0, 0.6, 0.3), is left of the middle; moved to greater y it goes to the upper half.
    model, data = scene()
    fine = CameraSpec("fine", DOWN.position, DOWN.target, DOWN.fovy, width=81, height=81)
    rows, columns = np.nonzero(cast(model, data, fine) < 0.85)
    assert columns.max() < 40
    assert abs(rows.mean() - 40) < 1
    model.body("hand").pos[:] = (0.1, 0.75, 0.3)
    mujoco.mj_forward(model, data)
    rows, columns = np.nonzero(cast(model, data, fine) < 0.85)
    assert rows.max() < 40
    assert abs(columns.mean() - 40) < 1


def test_invisible_geoms_are_not_seen():
    assert not np.any(np.isclose(cast(*scene(), DOWN), 0.89))


def test_no_return_beyond_the_range():
    # The first column looks above the horizon or at more than MAX_DEPTH.
    level = CameraSpec("level", (0, 0, 0.5), (0, 1, 0.5), fovy=40, width=5, height=5)
    depth = cast(*scene(), level)
    assert np.all(depth[:2] == 0)
    assert np.all(depth <= MAX_DEPTH)


def test_geoms_outside_of_the_workspace_are_left_out():
    model, data = scene()
    near = cast(model, data, DOWN, Workspace((-0.05, 0.55, 0.2), (0.05, 0.65, 0.4)))
    assert near[4, 4] == pytest.approx(1.1, abs=1e-6)  # The block is gone, the plane stays.


def test_every_ray_agrees_with_a_single_ray():
    """mj_multiRay alone loses hits at the borders of large geoms; see the module's docstring."""
    env = MetaWorldEnv(get_task("peg-insert-side"), 1)
    env.reset(seed=0)
    model, data = env.models[0], env.datas[0]
    for camera in env.task.cameras:
        pose = nominal_pose(camera, data.body("hand").xpos)
        caster = DepthCaster(model, (camera,), Workspace())
        depth = caster.cast(data, [pose])[0]
        rays = pixel_rays(camera) @ pose.rotation.T
        geom = np.zeros(1, np.int32)
        single = np.zeros_like(depth)
        for row in range(0, 48, 3):
            for column in range(0, 48, 3):
                distance = mujoco.mj_ray(
                    caster._model, data, pose.position, rays[row, column], CAST_GROUPS, 1, -1, geom
                )  # fmt: skip
                single[row, column] = distance if 0 < distance <= MAX_DEPTH else 0
        np.testing.assert_allclose(depth[::3, ::3], single[::3, ::3], atol=1e-6)


def test_agrees_with_opengl(tmp_path):
    # In a process of its own: MuJoCo chooses its OpenGL backend once, when it is imported.
    program = [sys.executable, "-m", "tests.vision.opengl_depth", str(tmp_path / "depth.npy")]
    backends = [os.environ.get("MUJOCO_GL", "egl"), "osmesa"]
    for backend in backends:
        done = subprocess.run(program, env={**os.environ, "MUJOCO_GL": backend}, capture_output=True, text=True)
        if done.returncode == 0:
            break
    else:
        pytest.skip(f"no OpenGL backend works here (tried {backends}): apt-get install libegl1 libgl1-mesa-dri")
    reference = np.load(tmp_path / "depth.npy")
    ours = cast(*scene(), SLANTED)
    seen = ours > 0
    close = np.abs(ours - reference)[seen] < 2e-3
    assert seen.mean() > 0.8
    assert close.mean() > 0.99  # At a silhouette a pixel may fall on either side.


def test_proxies_hide_details_and_leave_the_model_alone():
    env = MetaWorldEnv(get_task("peg-insert-side"), 1)
    model = env.models[0]
    types, groups, bounds = model.geom_type.copy(), model.geom_group.copy(), model.body_bvhadr.copy()
    proxy = proxy_model(model)
    np.testing.assert_array_equal(model.geom_type, types)
    np.testing.assert_array_equal(model.geom_group, groups)
    np.testing.assert_array_equal(model.body_bvhadr, bounds)
    cast_against = proxy.geom_group != HIDDEN_GROUP
    assert not np.any(proxy.geom_type[cast_against] == mujoco.mjtGeom.mjGEOM_MESH)
    assert cast_against[model.geom("peg").id]
    assert cast_against[model.geom("rightpad_geom").id]
    assert not cast_against[model.geom("rightclaw_it").id]  # A copy of the pad in the collision group.


def test_cameras_of_different_sizes_are_refused():
    model, _ = scene()
    with pytest.raises(UsageError, match="differ in image size"):
        DepthCaster(model, (DOWN, SLANTED), EVERYWHERE)
    with pytest.raises(UsageError, match="no camera"):
        DepthCaster(model, (), EVERYWHERE)
