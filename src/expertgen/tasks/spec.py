"""What is to be done, as data: a frozen description of a task that people, programs and policies read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from expertgen.errors import UsageError, nearest


@dataclass(frozen=True)
class ObservationField:
    """A named slice of the flat observation vector.

    Attributes:
        name: what a demonstration program calls it, e.g. `"hand_position"`.
        start: first column.
        stop: one past the last column.
        unit: physical unit (`"m"`, `"rad"`, `"1"` for dimensionless).
        frame: coordinate frame, and the order of quaternions (`"base"`, `"base, xyzw"`).
        meaning: one sentence.
    """

    name: str
    start: int
    stop: int
    unit: str
    frame: str
    meaning: str

    @property
    def columns(self) -> slice:
        """The slice of the flat observation."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class CameraSpec:
    """A pinhole camera without distortion: intrinsics and extrinsics of one depth or colour image.

    Attributes:
        name: e.g. `"side"`.
        position: camera centre [m], in the base frame, or relative to the hand where `mount` is `"hand"`.
        target: the point the optical axis goes through [m], in the same frame.
        fovy: vertical field of view [degrees].
        width: columns [pixels].
        height: rows [pixels].
        mount: `"base"` (fixed in the world) or `"hand"` (moves with the hand without rotating).
    """

    name: str
    position: tuple[float, float, float]
    target: tuple[float, float, float]
    fovy: float
    width: int = 48
    height: int = 48
    mount: str = "base"


@dataclass(frozen=True)
class TaskSpec:
    """A task: where it runs, what is seen and done, and what counts as success.

    Attributes:
        id: the name users type, e.g. `"peg-insert-side"`.
        simulator: adapter that runs it by default: `"envpool"`, `"metaworld"` or `"gymnasium"`.
        simulator_id: the name of the task inside that simulator.
        description: what is to be done, in one sentence.
        success: the success rule, in words; empty where the task has none (locomotion).
        observation_size: number of columns of the flat observation.
        action_names: one name per action dimension.
        action_unit: what an action of 1 means physically; actions lie in [-1, 1].
        control_rate: control steps per second [Hz].
        horizon: time limit [control steps].
        fields: named slices of the observation.
        observation_groups: names of the fields that each reader may see: `"expert"` (privileged state) and `"student"`
            (what a robot has).
        cameras: the cameras a student may look through.
        perturbations: names of the perturbations that it allows (`evaluation.perturbations`); by default those that
            need no more than actions.
        note: what a user should know (a defect of a simulator, a departure from the original), or empty.
        truncated_observation: the task sees only the first `observation_size` columns of what the simulator shows.
        largest_reward: the largest reward of a control step, where the simulator's rewards are dense and at least 0.
    """

    id: str
    simulator: str
    simulator_id: str
    description: str
    success: str
    observation_size: int
    action_names: tuple[str, ...]
    action_unit: str
    control_rate: float
    horizon: int
    fields: tuple[ObservationField, ...] = ()
    observation_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cameras: tuple[CameraSpec, ...] = ()
    perturbations: tuple[str, ...] = ("actuation_noise", "latency", "random_start")
    note: str = ""
    truncated_observation: bool = False
    largest_reward: float | None = None

    @property
    def action_size(self) -> int:
        """Number of action dimensions."""
        return len(self.action_names)

    def field(self, name: str) -> ObservationField:
        """Returns the field of that name.

        Raises:
            UsageError: if the task has no such field.
        """
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        names = [f.name for f in self.fields]
        raise UsageError(f"task {self.id!r} has no observation field {name!r}{nearest(name, names)}")

    def named(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        """Splits a flat observation `[..., observation_size]` into its named fields (views, not copies)."""
        return {f.name: observation[..., f.columns] for f in self.fields}

    def columns(self, group: str) -> np.ndarray:
        """Returns the column indices `[k]` of an observation group, in the order of its fields."""
        if group not in self.observation_groups:
            raise UsageError(
                f"task {self.id!r} has no observation group {group!r}{nearest(group, self.observation_groups)}"
            )
        return np.concatenate([np.arange(f.start, f.stop) for f in map(self.field, self.observation_groups[group])])
