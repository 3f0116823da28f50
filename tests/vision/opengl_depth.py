"""Renders the depth of the small scene with OpenGL: `python -m tests.vision.opengl_depth FILE.npy`."""

from __future__ import annotations

import sys

import mujoco
import numpy as np

from tests.vision.scenes import SLANTED, scene

model, data = scene()
model.vis.global_.fovy = SLANTED.fovy
towards = np.subtract(SLANTED.target, SLANTED.position)
view = mujoco.MjvCamera()
view.lookat[:] = SLANTED.target
view.distance = np.linalg.norm(towards)
view.azimuth = np.degrees(np.arctan2(towards[1], towards[0]))
view.elevation = np.degrees(np.arcsin(towards[2] / view.distance))
renderer = mujoco.Renderer(model, SLANTED.height, SLANTED.width)
renderer.enable_depth_rendering()
renderer.update_scene(data, view)
np.save(sys.argv[1], renderer.render())
renderer.close()
