"""Demonstrations in memory and on disk: one HDF5 layout that robomimic reads too, and no episode with a defect in it.

data                    attributes: total, env_args (JSON), task, fields (JSON), action_size, layout
  demo_0                attributes: num_samples, task, source, success, seed; optional failure, origin, weight
    obs/<field name>    float32 [T, columns of the field]
    actions             float32 [T, A]
    rewards             float32 [T]
    dones               int64 [T], 1 at the last step
  demo_1 ...
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from expertgen.demos.formats.recording import check_memory
from expertgen.demos.formats.trees import declared_steps
from expertgen.demos.hdf5 import DefectError, attribute, child, child_group, episode_names, open_hdf5, read_array
from expertgen.errors import FileError, UsageError
from expertgen.runs.files import write_bytes
from expertgen.tasks.spec import TaskSpec

Fields = tuple[tuple[str, int, int], ...]
"""Name, first column and one past the last column of every field; together they are all columns, in order."""

LAYOUT = 1
"""Version of the layout above."""

_ROBOMIMIC_GYM_TYPE = 2


@dataclass(frozen=True)
class Demo:
    """One demonstration of `T` control steps.

    Attributes:
        observations: float32 `[T, D]`; row `t` is what action `t` was chosen on.
        actions: float32 `[T, A]`, in [-1, 1].
        rewards: float32 `[T]`, the simulator's own.
        success: whether the episode ended in success.
        seed: seed of the collection that recorded it.
        source: who demonstrated, e.g. `"metaworld-expert"` or a file name.
        failure: why the program could not go on after these steps, or empty.
        origin: the file and the episode there in which it came, `"human.npz: episode 3"`; empty where it was recorded.
        weight: how often training the prior draws its windows, relative to a weight of 1; positive.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    success: bool
    seed: int
    source: str
    failure: str = ""
    origin: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class DemoSet:
    """Demonstrations of one task, at least one. It cannot be built from a demonstration with a defect.

    Attributes:
        task: id of the task.
        fields: how the columns of an observation are named and stored.
        demos: the demonstrations.
        notes: what reading or importing left out or changed, one line each; not stored.
    """

    task: str
    fields: Fields
    demos: tuple[Demo, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.demos:
            raise UsageError(f"there is no demonstration of {self.task!r}; collect or import at least one")
        for i, demo in enumerate(self.demos):
            try:
                check_demo(demo, self.fields, self.action_size)
            except DefectError as problem:
                raise UsageError(f"demonstration {i} of {self.task!r}: {problem}") from None

    def __len__(self) -> int:
        return len(self.demos)

    @property
    def observation_size(self) -> int:
        """Number of columns of an observation."""
        return self.fields[-1][2]

    @property
    def action_size(self) -> int:
        """Number of action dimensions."""
        return self.demos[0].actions.shape[-1]

    @property
    def steps(self) -> int:
        """Number of control steps of all demonstrations."""
        return sum(len(demo.actions) for demo in self.demos)

    @property
    def successes(self) -> int:
        """Number of demonstrations that succeed."""
        return sum(demo.success for demo in self.demos)

    def check(self, task: TaskSpec) -> None:
        """Refuses demonstrations that do not fit a task.

        Raises:
            UsageError: if they are of another task, or a field or the action has another shape there.
        """
        if self.task != task.id:
            raise UsageError(f"these are demonstrations of {self.task!r}; choose others, or that task, for {task.id!r}")
        for own, wanted in zip(self.fields, fields_of(task), strict=False):
            if own != wanted:
                raise UsageError(
                    f"demonstrations of {self.task!r}: columns {own[1]}:{own[2]} are {own[0]!r}, "
                    f"but the task has {wanted[0]!r} in columns {wanted[1]}:{wanted[2]}; make them again"
                )
        if (self.observation_size, self.action_size) != (task.observation_size, task.action_size):
            raise UsageError(
                f"demonstrations of {self.task!r} have {self.observation_size} observation columns and "
                f"{self.action_size} actions, the task has {task.observation_size} and {task.action_size}; "
                "make them again"
            )

    def save(self, path: Path) -> None:
        """Writes the file, atomically.

        Raises:
            TrainingError: if the folder cannot be written or the disk is full.
        """
        image = io.BytesIO()  # in memory, because HDF5 crashes on a full disk
        with h5py.File(image, "w") as file:
            data = file.create_group("data")
            env_args = {"env_name": self.task, "type": _ROBOMIMIC_GYM_TYPE, "env_kwargs": {}}
            data.attrs["env_args"] = json.dumps(env_args)
            data.attrs["total"] = self.steps
            data.attrs["task"] = self.task
            data.attrs["fields"] = json.dumps(self.fields)
            data.attrs["action_size"] = self.action_size
            data.attrs["layout"] = LAYOUT
            for i, demo in enumerate(self.demos):
                write_episode(group := data.create_group(f"demo_{i}"), demo, self.fields)
                group.attrs["task"] = self.task
        write_bytes(path, image.getvalue())

    @classmethod
    def load(cls, path: Path, skip_broken: bool = False) -> DemoSet:
        """Reads a file that `save` wrote.

        Args:
            path: the file.
            skip_broken: leave broken episodes out, with a line in `notes` for each, instead of refusing the file.

        Raises:
            FileError: if the file is missing, truncated, not HDF5, of another layout, or has a broken episode (named).
        """
        with open_hdf5(path) as file:
            data = child(file, "data")
            if not isinstance(data, h5py.Group) or "layout" not in data.attrs:
                raise FileError(f"{path} was not written by expertgen; import it with 'expertgen demos import'")
            if (layout := attribute(data, "layout", int)) != LAYOUT:
                raise FileError(f"{path} has layout {layout}, this program reads {LAYOUT}; make it again")
            fields: Fields = tuple(
                (name, start, stop) for name, start, stop in json.loads(attribute(data, "fields", str))
            )
            action_size, names = attribute(data, "action_size", int), episode_names(data, "demo_")
            check_memory(path, declared_steps(data, names), fields[-1][2] + action_size + 1)
            demos, notes = [], []
            for name in names:
                try:
                    demos.append(_read(child_group(data, name), fields, action_size))
                except DefectError as problem:
                    if not skip_broken:
                        raise FileError(f"{path}: {name}: {problem}; leave it out with --skip-broken") from None
                    notes.append(f"left out {name}: {problem}")
            if not demos:
                raise FileError(f"{path} holds no {'whole ' if notes else ''}demonstration; make it again")
            return cls(attribute(data, "task", str), fields, tuple(demos), tuple(notes))


def is_demoset(path: Path) -> bool:
    """Whether a path is a file of the layout that `DemoSet.save` writes, and not merely robomimic's.

    Raises:
        FileError: if it is an HDF5 file that is truncated.
    """
    if not (path.is_file() and h5py.is_hdf5(path)):
        return False
    with open_hdf5(path) as file:
        data = child(file, "data")
        return data is not None and "layout" in data.attrs


def write_episode(group: h5py.Group, demo: Demo, fields: Fields) -> None:
    """Writes the arrays and attributes of a demonstration into its group, all but the name of its task."""
    arrays = {f"obs/{name}": demo.observations[:, start:stop] for name, start, stop in fields}
    arrays |= {"actions": demo.actions, "rewards": demo.rewards}
    for name, array in arrays.items():
        # The checksum turns a flipped bit into a refusal; without one HDF5 would hand it on as data.
        array = np.asarray(array, np.float32)
        group.create_dataset(name, data=array, chunks=array.shape, fletcher32=True)
    group["dones"] = np.eye(1, len(demo.actions), len(demo.actions) - 1, dtype=np.int64)[0]
    group.attrs["num_samples"] = len(demo.actions)
    group.attrs["source"] = demo.source
    group.attrs["success"] = bool(demo.success)
    group.attrs["seed"] = demo.seed
    if demo.failure:
        group.attrs["failure"] = demo.failure
    if demo.origin:
        group.attrs["origin"] = demo.origin
    if demo.weight != 1.0:
        group.attrs["weight"] = demo.weight


def fields_of(task: TaskSpec) -> Fields:
    """How the observations of a task are stored: in parts that together are all columns.

    The parts are the task's named fields; columns that none of them names become `unnamed_<first>_<last + 1>`. A task
    that names no field, or a column twice, has the single field `"observation"`.
    """
    fields, column = [], 0
    for field in sorted(task.fields, key=lambda f: f.start):
        if field.start < column:
            return (("observation", 0, task.observation_size),)
        if field.start > column:
            fields.append((f"unnamed_{column}_{field.start}", column, field.start))
        fields.append((field.name, field.start, field.stop))
        column = field.stop
    if not fields:
        return (("observation", 0, task.observation_size),)
    if column < task.observation_size:
        fields.append((f"unnamed_{column}_{task.observation_size}", column, task.observation_size))
    return tuple(fields)


def check_demo(demo: Demo, fields: Fields, action_size: int) -> None:
    """Checks shapes and values of a demonstration.

    Raises:
        DefectError: what is wrong, naming the field and the step.
    """
    steps = len(demo.actions)
    if steps == 0:
        raise DefectError("it has no step")
    shapes = {
        "observations": (demo.observations.shape, (steps, fields[-1][2])),
        "actions": (demo.actions.shape, (steps, action_size)),
        "rewards": (demo.rewards.shape, (steps,)),
    }
    for name, (shape, wanted) in shapes.items():
        if shape != wanted:
            raise DefectError(f"{name} have shape {list(shape)}, not {list(wanted)}")
    parts = {f"obs/{name}": demo.observations[:, start:stop] for name, start, stop in fields}
    parts |= {"actions": demo.actions, "rewards": demo.rewards[:, None]}
    for name, array in parts.items():
        bad = ~np.isfinite(array).all(axis=1)
        if bad.any():
            raise DefectError(f"{name}: NaN or infinity at step {bad.argmax()}")
    if not (np.isfinite(demo.weight) and demo.weight > 0.0):
        raise DefectError(f"weight must be positive, not {demo.weight}")
    reach = np.abs(demo.actions).max(axis=1)
    if reach.max() > 1.0:
        raise DefectError(f"actions reach {reach.max():.3g} at step {reach.argmax()}, outside [-1, 1]")


def _read(group: h5py.Group, fields: Fields, action_size: int) -> Demo:
    count, source = attribute(group, "num_samples", int), attribute(group, "source", str)
    success, seed = attribute(group, "success", bool), attribute(group, "seed", int)
    origin, weight = attribute(group, "origin", str, ""), attribute(group, "weight", float, 1.0)
    failure = attribute(group, "failure", str, "")
    actions, rewards = read_array(group, "actions"), read_array(group, "rewards")
    if len(actions) != count:
        raise DefectError(f"it has {len(actions)} actions, but num_samples says {count}")
    observations = np.empty((count, fields[-1][2]), np.float32)
    for name, start, stop in fields:
        observations[:, start:stop] = read_array(group, f"obs/{name}", (count, stop - start))
    demo = Demo(observations, actions, rewards, success, seed, source, failure, origin, weight)
    check_demo(demo, fields, action_size)
    return demo
