"""Depth images by ray casting (`mj_multiRay`): no OpenGL, no display, a thousand small images a second on one core.

Three things make it fast: detailed meshes are replaced by simpler geometry (`proxy_model`), geometry that cannot touch
the workspace is left out, and all rays of an image are cast in one call. One thing makes it right: `mj_multiRay` of
MuJoCo 3.3 skips geoms by bounds on azimuth and elevation that it takes at the corners of their boxes. Edges bulge
beyond such bounds, so that hits near the borders of large geoms get lost; the proxy model switches the bounds off.
"""

# MuJoCo's extension modules come without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from expertgen.errors import UsageError
from expertgen.tasks.spec import CameraSpec
from expertgen.vision.camera import CameraPose, pixel_rays
from expertgen.vision.points import Workspace

if TYPE_CHECKING:
    import mujoco

MAX_DEPTH = 3.0
"""Range of the depth camera [m]; what is further away gives no return."""

COLLISION_GROUP = 4
"""Geom group in which MetaWorld keeps the simple shapes that stand for a detailed visual mesh."""

HIDDEN_GROUP = 5
"""Geom group that this module never casts against."""

CAST_GROUPS = np.array([1, 1, 1, 1, 1, 0], np.uint8)


def proxy_model(model: mujoco.MjModel, hand_body: str = "hand") -> mujoco.MjModel:
    """Returns a copy of a model with simpler geometry, to be cast against together with the data of the original.

    The copy differs in the shape of geoms only, never in their number, order or place:

    - meshes of the arm (of the kinematic tree of `hand_body`) become their bounding boxes;
    - objects that have collision shapes (group 4) are seen by these, and their other geoms are hidden; the arm's
      collision shapes repeat its fingers, and are hidden;
    - geoms that a picture would not show (alpha 0) are hidden.

    Args:
        model: any model; it is not changed.
        hand_body: name of a body of the arm. A model without it has no arm.
    """
    import mujoco

    proxy = copy.deepcopy(model)
    hand = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, hand_body)
    tree = model.body_rootid[model.geom_bodyid]
    arm = tree == model.body_rootid[hand] if hand >= 0 else np.zeros(model.ngeom, bool)
    collision = model.geom_group == COLLISION_GROUP
    has_collision_shapes = np.isin(tree, tree[collision & ~arm]) & ~arm
    proxy.geom_type[arm & (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)] = mujoco.mjtGeom.mjGEOM_BOX
    hidden = (has_collision_shapes & ~collision) | (arm & collision) | ~visible_geoms(model)
    proxy.geom_group[hidden] = HIDDEN_GROUP
    proxy.body_bvhadr[:] = -1
    return proxy


def visible_geoms(model: mujoco.MjModel) -> Bool[np.ndarray, "ngeom"]:
    """Returns which geoms a picture shows: those whose colour, or whose material's, is not wholly transparent."""
    alpha = model.geom_rgba[:, 3].copy()
    with_material = model.geom_matid >= 0
    alpha[with_material] = model.mat_rgba[model.geom_matid[with_material], 3]
    return alpha > 0


class DepthCaster:
    """Casts depth images of one model, for any number of its copies in simulation.

    Args:
        model: the simulated model. Copies that differ in body poses only (as MetaWorld's do) can share one caster.
        cameras: the cameras; all of the same width and height.
        workspace: where to look. Geoms whose box stays more than 5 cm outside of it are not cast against, as if they
            were not in the room; planes are always kept.

    Raises:
        UsageError: if there is no camera, or the sizes of their images differ.
    """

    margin = 0.05

    def __init__(self, model: mujoco.MjModel, cameras: tuple[CameraSpec, ...], workspace: Workspace) -> None:
        import mujoco

        if not cameras:
            raise UsageError("there is no camera to look through; name at least one")
        if len({(camera.height, camera.width) for camera in cameras}) > 1:
            raise UsageError(f"cameras {', '.join(c.name for c in cameras)} differ in image size; give all the same")
        self.cameras = cameras
        self._model = proxy_model(model)
        self._groups = self._model.geom_group.copy()
        self._low = np.array(workspace.low) - self.margin
        self._high = np.array(workspace.high) + self.margin
        self._planes = self._model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
        # The box that holds each geom, in its own frame; a proxy box has the origin of its mesh as its centre.
        is_box = (self._model.geom_type == mujoco.mjtGeom.mjGEOM_BOX)[:, None]
        self._center = np.where(is_box, 0.0, model.geom_aabb[:, :3])
        self._half = np.where(is_box, model.geom_size, model.geom_aabb[:, 3:])
        rays = [pixel_rays(camera).reshape(-1, 3) for camera in cameras]
        self._lengths = [np.linalg.norm(ray, axis=1) for ray in rays]
        self._directions = [ray / length[:, None] for ray, length in zip(rays, self._lengths, strict=True)]
        count = cameras[0].height * cameras[0].width
        self._geom_ids, self._distances = np.empty(count, np.int32), np.empty(count)

    def cast(self, data: mujoco.MjData, poses: list[CameraPose]) -> Float[np.ndarray, "cameras height width"]:
        """Returns one depth image per camera, float32.

        Args:
            data: simulation state whose body and geom poses are up to date (`mj_forward`); it is not changed.
            poses: where the cameras really are, one for each.

        Returns:
            planar depth [m]: distance from the camera centre along the optical axis; 0 where there is no return.
        """
        import mujoco

        self._select(data)
        depth = np.empty((len(self.cameras), self.cameras[0].height, self.cameras[0].width), np.float32)
        for image, pose, directions, lengths in zip(depth, poses, self._directions, self._lengths, strict=True):
            rays = (directions @ pose.rotation.T).reshape(-1)
            mujoco.mj_multiRay(
                self._model,
                data,
                pose.position,
                rays,
                CAST_GROUPS,
                1,
                -1,
                self._geom_ids,
                self._distances,
                len(lengths),
                MAX_DEPTH,
            )
            planar = self._distances / lengths
            image.flat = np.where((self._distances > 0) & (planar <= MAX_DEPTH), planar, 0.0)
        return depth

    def _select(self, data: mujoco.MjData) -> None:
        """Hides the geoms whose axis-aligned box in the base frame does not touch the workspace."""
        turn = data.geom_xmat.reshape(-1, 3, 3)
        center = data.geom_xpos + (turn @ self._center[:, :, None])[:, :, 0]
        half = (np.abs(turn) @ self._half[:, :, None])[:, :, 0]
        near = np.all((center - half < self._high) & (center + half > self._low), axis=1) | self._planes
        self._model.geom_group[:] = np.where(near, self._groups, HIDDEN_GROUP)
