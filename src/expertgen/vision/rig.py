"""The cameras of `N` environments, and the only thing that a student ever sees: `CameraObservation`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from expertgen.errors import UsageError, nearest
from expertgen.runs.seeding import numpy_generator
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.spec import CameraSpec, TaskSpec
from expertgen.vision.camera import CameraPose, nominal_pose, pixel_rays
from expertgen.vision.level import levelled
from expertgen.vision.points import Workspace, crop, fixed_number, unproject
from expertgen.vision.randomize import CameraRandomization, displaced
from expertgen.vision.raycast import DepthCaster


@dataclass(frozen=True)
class CameraObservation:
    """What a robot has: pictures and its own joints. `n` rows, one for each environment that was asked for.

    Attributes:
        depth: float32 `[n, cameras, height, width]`, planar depth [m], 0 without a return.
        poses: float32 `[n, cameras, 3, 4]`, `[R | t]`: where the robot believes each camera to be [m, base frame];
            camera frame as in `expertgen.vision.camera`.
        points: float32 `[n, number, 3]`, points seen in the workspace by any camera [m, base frame].
        proprioception: float32 `[n, k]`, the fields of the task's `"student"` observation group, the first of which is
            the position of the hand [m, base frame].
    """

    depth: Float[np.ndarray, "n cameras height width"]
    poses: Float[np.ndarray, "n cameras 3 4"]
    points: Float[np.ndarray, "n number 3"]
    proprioception: Float[np.ndarray, "n k"]


def select_cameras(task: TaskSpec, names: tuple[str, ...]) -> tuple[CameraSpec, ...]:
    """Returns the task's cameras of these names, in this order.

    Raises:
        UsageError: if the task has no such camera.
    """
    by_name = {camera.name: camera for camera in task.cameras}
    for name in names:
        if name not in by_name:
            known = nearest(name, by_name) or f"; it has {', '.join(by_name) or 'none'}"
            raise UsageError(f"task {task.id!r} has no camera {name!r}{known}")
    return tuple(by_name[name] for name in names)


class CameraRig:
    """Cameras on every environment of a `MetaWorldEnv`, with errors that are drawn anew for every episode.

    Every environment has a random stream of its own, so what one sees does not depend on what the others do.

    Args:
        env: the environments to look into.
        cameras: the cameras; all of one image size.
        randomization: strengths of the cameras' imperfections.
        seed: seed of these imperfections and of the choice of points.
        number: points in a cloud.
        workspace: the box that the cloud is cropped to.
        vary: whether every episode draws how strong its noise and dropouts are, from 0 to those of `randomization`.

    Raises:
        UsageError: if there are no cameras, their image sizes differ, or a robot could not tell where its hand is.
    """

    def __init__(
        self,
        env: MetaWorldEnv,
        cameras: tuple[CameraSpec, ...],
        randomization: CameraRandomization,
        seed: int,
        number: int = 512,
        workspace: Workspace | None = None,
        vary: bool = False,
    ) -> None:
        self.cameras = cameras
        self.number = number
        self._env = env
        self._randomization = randomization
        self._vary = vary
        self._workspace = workspace or Workspace()
        self._caster = DepthCaster(env.models[0], cameras, self._workspace)
        self._rays = [pixel_rays(camera).astype(np.float32) for camera in cameras]
        self._columns = env.task.columns("student")
        self._hand_columns = env.task.field("hand_position").columns
        if self._columns[:3].tolist() != list(range(self._hand_columns.start, self._hand_columns.stop)):
            raise UsageError(f"task {env.task.id!r}: the observation group 'student' must begin with 'hand_position'")
        self._generators = [numpy_generator(seed, "cameras", i) for i in range(env.num_envs)]
        self._errors: list[list[CameraPose]] = [[]] * env.num_envs
        self._sensors = [randomization] * env.num_envs
        self._pictures: list[deque[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [deque(maxlen=1)] * env.num_envs

    def reset(self, ids: Int[np.ndarray, "n"]) -> None:
        """New episodes begin in the environments `ids`: draws the errors of their cameras."""
        for i in ids:
            generator = self._generators[i]
            self._errors[i] = [self._randomization.draw_pose_error(generator) for _ in self.cameras]
            self._sensors[i] = self._randomization.weakened(generator) if self._vary else self._randomization
            self._pictures[i] = deque(maxlen=1 + self._randomization.draw_latency(generator))

    def look(self, observation: Float[np.ndarray, "n D"], ids: Int[np.ndarray, "n"]) -> CameraObservation:
        """Takes one picture with every camera of the environments `ids`.

        Args:
            observation: rows of these environments. Only the columns of the `"student"` group are used.
            ids: indices of the environments; `reset` must have been called for them.

        Returns:
            pictures as old as the episode's latency (the oldest there is at its start), and proprioception of now.
        """
        for i, row in zip(ids, observation, strict=True):
            self._pictures[i].append(self._picture(int(i), row[self._hand_columns].astype(float)))
        depth, poses, points = (np.stack(part) for part in zip(*(self._pictures[i][0] for i in ids), strict=True))
        return CameraObservation(depth, poses, points, observation[:, self._columns].astype(np.float32))

    def _picture(self, i: int, hand: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Casts the images of one environment; returns its rows of `depth`, `poses` and `points`."""
        generator, error, sensor = self._generators[i], self._errors[i], self._sensors[i]
        believed = [nominal_pose(camera, hand) for camera in self.cameras]
        true = [displaced(pose, wrong) for pose, wrong in zip(believed, error, strict=True)]
        depth = sensor.disturb_depth(self._caster.cast(self._env.datas[i], true), generator)
        believed = [levelled(*view) for view in zip(believed, depth, self._rays, strict=True)]
        seen = [
            crop(unproject(image, rays, pose), image, self._workspace)
            for image, rays, pose in zip(depth, self._rays, believed, strict=True)
        ]
        cloud = sensor.drop_points(np.concatenate(seen), generator)
        poses = np.stack([np.column_stack([pose.rotation, pose.position]) for pose in believed]).astype(np.float32)
        return depth, poses, fixed_number(cloud, self.number, generator, fallback=hand)
