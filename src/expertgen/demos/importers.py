"""Importing demonstrations that others recorded: NumPy archives and robomimic's HDF5 files.

Neither has to say whether an episode succeeded. Where it does not, it counts as a success: people keep what worked.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from expertgen.demos.hdf5 import DefectError, attributes, episode_groups, open_hdf5, read_array
from expertgen.demos.store import Demo, DemoSet, Fields, check_demo, fields_of
from expertgen.errors import FileError, UsageError, nearest
from expertgen.tasks.spec import TaskSpec

CLIP_LIMIT = 2.0
"""Actions beyond this are not slightly out of range but in other units, and refused even with clipping."""

_Episode = tuple[str, Callable[[], Demo]]


def import_npz(path: Path, task: TaskSpec, source: str, clip: bool = True, skip_broken: bool = False) -> DemoSet:
    """Imports a NumPy archive that has its episodes one after the other.

    Its arrays are `observations` `[sum T, D]`, `actions` `[sum T, A]`, `episode_lengths` int `[E]`, and, where there
    are any, `rewards` `[sum T]` and `success` bool `[E]`. Others are ignored.

    Args:
        path: the archive.
        task: what the demonstrations are of; `D` and `A` are its own.
        source: who demonstrated, as it will stand in the file.
        clip: clip actions slightly out of range, with their number in `notes`; otherwise they are a defect.
        skip_broken: leave broken episodes out, with a line in `notes` for each, instead of refusing the file.

    Raises:
        FileError: if the archive is missing or broken, or does not fit the task.
    """
    arrays = _npz_arrays(path)
    for name in ("observations", "actions", "episode_lengths"):
        if name not in arrays:
            raise FileError(f"{path} has no array {name!r}; it has {', '.join(arrays) or 'none'}")
        if arrays[name].ndim == 0:
            raise FileError(f"{path}: {name} must be an array, not a single value")
    observations, actions, lengths = arrays["observations"], arrays["actions"], arrays["episode_lengths"]
    rewards = arrays.get("rewards", np.zeros(len(actions)))
    success = arrays.get("success", np.ones(len(lengths), bool))
    steps = len(observations)
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or lengths.min(initial=1) < 1 or lengths.sum() != steps:
        raise FileError(f"{path}: episode_lengths must be positive integers that sum to the {steps} observations")
    wanted = {
        "observations": (observations, (steps, task.observation_size)),
        "actions": (actions, (steps, task.action_size)),
        "rewards": (rewards, (steps,)),
        "success": (success, (len(lengths),)),
    }
    for name, (array, shape) in wanted.items():
        if array.shape != shape:
            raise FileError(f"{path}: {name} have shape {list(array.shape)}, but {task.id!r} needs {list(shape)}")
        if array.dtype.kind not in "fiub":
            raise FileError(f"{path}: {name} do not hold numbers, but {array.dtype}")

    def read(i: int, span: slice) -> Demo:
        parts = (np.asarray(array[span], np.float32) for array in (observations, actions, rewards))
        return Demo(*parts, success=bool(success[i]), seed=0, source=source)

    ends = np.cumsum(lengths)
    spans = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
    episodes = ((f"episode {i}", lambda i=i, span=span: read(i, span)) for i, span in enumerate(spans))
    return _checked(path, task, episodes, clip, skip_broken)


def import_robomimic(
    path: Path,
    task: TaskSpec,
    source: str,
    names: Mapping[str, str] | None = None,
    clip: bool = True,
    skip_broken: bool = False,
) -> DemoSet:
    """Imports a robomimic HDF5 file, `data/demo_<i>/{obs/<name>, actions, rewards}`.

    Observations are found by the names of the task's fields; columns that the task does not name become 0. A file with
    one flat observation has it under the name `"observation"`.

    Args:
        path: the file.
        task: what the demonstrations are of.
        source: who demonstrated, as it will stand in the file.
        names: the task's field (or `"observation"`) → its name in the file, where they differ.
        clip: clip actions slightly out of range, with their number in `notes`; otherwise they are a defect.
        skip_broken: leave broken episodes out, with a line in `notes` for each, instead of refusing the file.

    Raises:
        UsageError: if `names` has a field that the task does not have.
        FileError: if the file is missing or broken, or does not fit the task; the field is named.
    """
    names = dict(names or {})
    known = [name for name, _, _ in fields_of(task)] + ["observation"]
    for name in names:
        if name not in known:
            raise UsageError(f"task {task.id!r} has no observation field {name!r}{nearest(name, known)}")
    with open_hdf5(path) as file:
        data = file.get("data")
        groups = episode_groups(data) if isinstance(data, h5py.Group) else []
        if not groups:
            raise FileError(f"{path} has no group data/demo_<i>: it is not a robomimic file")
        parts = _parts(path, groups[0][1], task, names)
        episodes = ((name, lambda group=group: _read(group, parts, task, source)) for name, group in groups)
        return _checked(path, task, episodes, clip, skip_broken)


def _npz_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        raise FileError(f"{path} does not exist")
    if not zipfile.is_zipfile(path):
        raise FileError(f"{path} is truncated or not a NumPy archive (.npz)")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
        raise FileError(f"{path} is damaged or not an archive of plain arrays: {error}") from error


def _parts(path: Path, group: h5py.Group, task: TaskSpec, names: Mapping[str, str]) -> Fields:
    """Which observation of the file fills which columns, decided on its first episode."""
    obs = group.get("obs")
    there = list(obs) if isinstance(obs, h5py.Group) else []
    flat = names.get("observation", "observation")
    if flat in there:
        return ((flat, 0, task.observation_size),)
    parts = []
    for name, start, stop in fields_of(task):
        key = names.get(name, name)
        if key in there:
            parts.append((key, start, stop))
        elif not name.startswith("unnamed_"):
            raise FileError(
                f"{path} has no observation {key!r} for field {name!r} of {task.id!r}; "
                f"it has {', '.join(there) or 'none'}: rename one there, or give import_robomimic `names`"
            )
    return tuple(parts)


def _read(group: h5py.Group, parts: Fields, task: TaskSpec, source: str) -> Demo:
    actions = read_array(group, "actions")
    rewards = read_array(group, "rewards") if "rewards" in group else np.zeros(len(actions), np.float32)
    observations = np.zeros((len(actions), task.observation_size), np.float32)
    for key, start, stop in parts:
        array, wanted = read_array(group, f"obs/{key}"), (len(actions), stop - start)
        if array.shape != wanted:
            raise DefectError(f"obs/{key} has shape {list(array.shape)}, but {task.id!r} needs {list(wanted)}")
        observations[:, start:stop] = array
    header = attributes(group)
    return Demo(observations, actions, rewards, bool(header.get("success", True)), int(header.get("seed", 0)), source)


def _checked(path: Path, task: TaskSpec, episodes: Iterable[_Episode], clip: bool, skip_broken: bool) -> DemoSet:
    """Reads, clips and checks the episodes."""
    demos, notes, clipped, reach = [], [], 0, 0.0
    for name, read in episodes:
        try:
            demo = read()
            if clip and (over := np.abs(demo.actions) > 1.0).any():
                largest = float(np.abs(demo.actions).max())
                if largest > CLIP_LIMIT:
                    raise DefectError(f"actions reach {largest:.3g}: scale them to [-1, 1]")
                clipped, reach = clipped + int(over.sum()), max(reach, largest)
                demo = replace(demo, actions=demo.actions.clip(-1.0, 1.0))
            check_demo(demo, fields_of(task), task.action_size)
            demos.append(demo)
        except DefectError as problem:
            if not skip_broken:
                raise FileError(f"{path}: {name}: {problem}; mend it, or leave it out with --skip-broken") from None
            notes.append(f"left out {name}: {problem}")
    if not demos:
        raise FileError(f"{path} holds no whole demonstration of {task.id!r}")
    if clipped:
        values = sum(demo.actions.size for demo in demos)
        notes.append(f"clipped {clipped:,} of {values:,} action values to [-1, 1]; the largest was {reach:.3g}")
    return DemoSet(task.id, fields_of(task), tuple(demos), tuple(notes))
