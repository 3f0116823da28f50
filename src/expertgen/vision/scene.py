"""One moment of a simulation, as far as a picture depends on it: to be drawn later, or in another thread."""

# MuJoCo's extension modules come without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mujoco import MjData

_POSES = ("xpos", "geom_xpos", "geom_xmat")

Scene = tuple[np.ndarray, ...]
"""Copies of the positions of bodies and of the positions and orientations of geoms, float32."""


def capture(data: MjData) -> Scene:
    """Returns a copy of everything that a picture depends on."""
    return tuple(getattr(data, name).astype(np.float32) for name in _POSES)


def restore(data: MjData, scene: Scene) -> None:
    """Writes a moment into data of the same model, which then can be drawn but not simulated."""
    for name, value in zip(_POSES, scene, strict=True):
        getattr(data, name)[:] = value
