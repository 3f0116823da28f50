"""A student: what it needs to see, its network, and how both are kept in one file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from expertgen.distillation.networks import BlindNetwork, DepthNetwork, PointNetwork
from expertgen.errors import FileError, UsageError
from expertgen.prior.normalizer import Normalizer
from expertgen.runs.checkpoint import load_checkpoint, load_module, save_checkpoint
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.spec import CameraSpec, TaskSpec
from expertgen.vision.points import Workspace
from expertgen.vision.randomize import CameraRandomization
from expertgen.vision.rig import CameraObservation, CameraRig

KIND, VERSION = "student", 1

Sight = Literal["points", "depth", "blind"]
"""What a student sees besides its proprioception: a point cloud, depth images, or nothing (a control)."""

View = dict[str, Tensor]
"""The parts of a `CameraObservation` that a student uses, as tensors with one row an observation."""


@dataclass(frozen=True)
class StudentSpec:
    """Everything that fixes a student's inputs, outputs and size.

    Attributes:
        task: id of the task.
        sight: what it sees.
        cameras: through what; kept whole, so that a file tells where the cameras have to stand.
        points: points in a cloud.
        proprioception_size: k.
        chunk_length: H.
        action_size: A.
        width: hidden width of the head.
        workspace: where it looks.
    """

    task: str
    sight: Sight
    cameras: tuple[CameraSpec, ...]
    points: int
    proprioception_size: int
    chunk_length: int
    action_size: int
    width: int
    workspace: Workspace

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StudentSpec:
        """Rebuilds a specification from `asdict`, as read back from JSON (which turns tuples into lists)."""
        cameras = tuple(CameraSpec(**_with_tuples(camera)) for camera in values["cameras"])
        return cls(**{**values, "cameras": cameras, "workspace": Workspace(**_with_tuples(values["workspace"]))})


class Student(nn.Module):
    """A camera policy: normaliser of the proprioception, and network.

    Args:
        spec: its inputs, outputs and size. First weights come from torch's global random stream.
    """

    def __init__(self, spec: StudentSpec) -> None:
        super().__init__()
        self.spec = spec
        self.normalizer = Normalizer(spec.proprioception_size)
        outputs = spec.chunk_length * spec.action_size
        if spec.sight == "points":
            self.network = PointNetwork(spec.proprioception_size, outputs, spec.workspace, spec.width)
        elif spec.sight == "depth":
            self.network = DepthNetwork(spec.cameras, spec.proprioception_size, outputs, spec.workspace, spec.width)
        else:
            self.network = BlindNetwork(spec.proprioception_size, outputs, spec.width)

    def view(self, observation: CameraObservation) -> View:
        """Takes the parts of an observation that this student uses."""
        parts = {"points": ("points",), "depth": ("depth", "poses"), "blind": ()}[self.spec.sight]
        return {name: torch.from_numpy(getattr(observation, name)) for name in (*parts, "proprioception")}

    def forward(self, view: View) -> Float[Tensor, "batch horizon action"]:
        """Returns chunks, which may lie outside of [-1, 1]."""
        sight = {name: part for name, part in view.items() if name != "proprioception"}
        hand = view["proprioception"][:, :3]
        flat = self.network(**sight, hand=hand, proprioception=self.normalizer(view["proprioception"]))
        return flat.unflatten(1, (self.spec.chunk_length, self.spec.action_size))

    @torch.inference_mode()
    def act(self, observation: CameraObservation) -> Float[np.ndarray, "batch horizon action"]:
        """Plans chunks, float32 in [-1, 1]."""
        device = self.normalizer.mean.device
        view = {name: part.to(device) for name, part in self.view(observation).items()}
        return self(view).clamp(-1, 1).cpu().numpy()

    def save(self, path: Path) -> None:
        """Saves weights, normaliser and specification to one safetensors file."""
        save_checkpoint(path, KIND, VERSION, self.state_dict(), asdict(self.spec))

    @classmethod
    def load(cls, path: Path) -> Student:
        """Loads what `save` wrote.

        Raises:
            FileError: if the file is missing, truncated, of another kind, version or shape.
        """
        tensors, meta = load_checkpoint(path, KIND, VERSION)
        try:
            student = cls(StudentSpec.from_json(meta))
        except (TypeError, KeyError) as error:
            raise FileError(f"{path}: its specification does not fit this version: {error}") from None
        load_module(student, tensors, path)
        return student.eval().requires_grad_(False)

    def check(self, task: TaskSpec) -> None:
        """Refuses a task that this student was not made for.

        Raises:
            UsageError: if the task, its actions or its proprioception is another.
        """
        if task.id != self.spec.task:
            raise UsageError(f"this student was made for task {self.spec.task!r}, not for {task.id!r}")
        here = (task.action_size, len(task.columns("student")))
        if here != (self.spec.action_size, self.spec.proprioception_size):
            raise UsageError(
                f"task {task.id!r} has {here[0]} actions and {here[1]} columns of proprioception; this student was "
                f"made for {self.spec.action_size} and {self.spec.proprioception_size}: distil it again"
            )


class StudentPolicy:
    """A student that looks through the cameras of its environments. Nothing else of their state reaches it.

    Args:
        student: the camera policy.
        env: where it plays; the policy must be reset when episodes begin (as `run_episodes` does).
        randomization: imperfections of the cameras; perfect ones where not given.
        seed: seed of these imperfections.

    Raises:
        UsageError: if the student was made for another task.
    """

    def __init__(
        self, student: Student, env: MetaWorldEnv, randomization: CameraRandomization | None = None, seed: int = 0
    ) -> None:
        student.check(env.task)
        self.student = student
        self.chunk_length = student.spec.chunk_length
        self._rig = make_rig(student.spec, env, randomization or CameraRandomization(), seed)

    def reset(self, ids: np.ndarray) -> None:
        """See `expertgen.evaluation.policy.Policy.reset`."""
        self._rig.reset(ids)

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """See `expertgen.evaluation.policy.Policy.plan`."""
        return self.student.act(self._rig.look(observation, ids))


def make_rig(
    spec: StudentSpec, env: MetaWorldEnv, randomization: CameraRandomization, seed: int, vary: bool = False
) -> CameraRig:
    """Puts a student's cameras on environments; see `CameraRig`."""
    return CameraRig(env, spec.cameras, randomization, seed, spec.points, spec.workspace, vary)


def make_student_env(task: TaskSpec, num_envs: int) -> MetaWorldEnv:
    """Makes environments that cameras can look into: Python MetaWorld, whatever the task's own simulator.

    Raises:
        UsageError: if the task has no cameras, or is not one of MetaWorld's.
    """
    if not task.cameras:
        raise UsageError(f"task {task.id!r} has no cameras: a student can be distilled on MetaWorld tasks only")
    return MetaWorldEnv(task, num_envs)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
