"""NumPy archives (`.npz`): plain arrays with the episodes one after the other, and no pickle.

observations        [sum of T, D], all columns in the task's order
actions             [sum of T, A]
episode_lengths     int [E]
rewards             [sum of T], optional
success             bool [E], optional
seed                int [E], optional
weight              [E], optional
source              text [E], optional
failure             text [E], optional
origin              text [E], optional

An archive says twice how large an array is, in the zip directory and in the array's own header. They are compared
before anything is unpacked.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from expertgen.demos.formats.recording import FLAT, Episode, Recording
from expertgen.demos.hdf5 import DEFLATE_LIMIT, SMALL
from expertgen.demos.store import DemoSet
from expertgen.errors import FileError
from expertgen.runs.files import atomic_path
from expertgen.tasks.spec import TaskSpec

_NUMBERS = {"observations": 2, "actions": 2, "episode_lengths": 1, "rewards": 1, "success": 1, "seed": 1, "weight": 1}
"""Arrays of numbers and their dimensions."""

_TEXT = ("source", "failure", "origin")
_OWN = {"success": bool, "seed": int, "weight": float, "source": str, "failure": str, "origin": str}


def recognizes(path: Path) -> bool:
    """Whether a path looks like an archive."""
    return path.suffix == ".npz"


@contextmanager
def opens(path: Path) -> Iterator[Recording]:
    """Opens an archive.

    Raises:
        FileError: if it is missing, damaged, or not an archive of such arrays.
    """
    arrays, dropped = _arrays(path)
    for name in ("observations", "actions", "episode_lengths"):
        if name not in arrays:
            raise FileError(f"{path} has no array {name!r}; it has {', '.join([*arrays, *dropped]) or 'none'}")
    for name, dimensions in _NUMBERS.items():
        if name in arrays and arrays[name].ndim == 0:
            raise FileError(f"{path}: {name} must be an array, not a single value")
        if name in arrays and arrays[name].dtype.kind not in "fiub":
            raise FileError(f"{path}: {name} do not hold numbers, but {arrays[name].dtype}")
        if name in arrays and arrays[name].ndim != dimensions:
            raise FileError(f"{path}: {name} have {arrays[name].ndim} dimensions, not {dimensions}")
    for name in _TEXT:
        if name in arrays and arrays[name].dtype.kind != "U":
            raise FileError(f"{path}: {name} do not hold text, but {arrays[name].dtype}")
    lengths = arrays["episode_lengths"]
    steps, count = len(arrays["observations"]), len(lengths)
    if lengths.dtype.kind not in "iu" or lengths.min(initial=1) < 1 or lengths.sum() != steps:
        raise FileError(f"{path}: episode_lengths must be positive integers that sum to the {steps} observations")
    for name, array in arrays.items():
        wanted = steps if name in ("observations", "actions", "rewards") else count
        if array.shape[:1] != (wanted,):
            raise FileError(f"{path}: {name} have shape {list(array.shape)}, but there must be {wanted} of them")

    ends = np.cumsum(lengths).tolist()
    spans = [slice(end - length, end) for end, length in zip(ends, lengths.tolist(), strict=True)]
    episodes = [(f"episode {i}", partial(_read, arrays, i, span)) for i, span in enumerate(spans)]
    shapes = {FLAT: arrays["observations"].shape[1:]}
    yield Recording(shapes, arrays["actions"].shape[1:], steps, episodes, tuple(f"array {name!r}" for name in dropped))


def write(demos: DemoSet, task: TaskSpec, path: Path) -> None:
    """Writes an archive, atomically.

    Raises:
        TrainingError: if the folder cannot be written or the disk is full.
    """
    every = demos.demos
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            observations=np.concatenate([demo.observations for demo in every]),
            actions=np.concatenate([demo.actions for demo in every]),
            rewards=np.concatenate([demo.rewards for demo in every]),
            episode_lengths=np.array([len(demo.actions) for demo in every]),
            success=np.array([demo.success for demo in every]),
            seed=np.array([demo.seed for demo in every]),
            weight=np.array([demo.weight for demo in every]),
            source=np.array([demo.source for demo in every]),
            failure=np.array([demo.failure for demo in every]),
            origin=np.array([demo.origin for demo in every]),
        )


def _read(arrays: Mapping[str, np.ndarray], i: int, span: slice, widths: Mapping[str, int]) -> Episode:
    observations = {FLAT: _float32(arrays["observations"], span)} if FLAT in widths else {}
    actions = _float32(arrays["actions"], span)
    rewards = _float32(arrays["rewards"], span) if "rewards" in arrays else np.zeros(len(actions), np.float32)
    own: dict[str, Any] = {name: arrays[name][i].item() for name in _OWN if name in arrays}
    for name, value in own.items():
        own[name] = _OWN[name](value)
    return Episode(observations, actions, rewards, **own)


def _arrays(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays that we know, and the names of the others, which are not unpacked."""
    if not path.exists():
        raise FileError(f"{path} does not exist")
    if not zipfile.is_zipfile(path):
        raise FileError(f"{path} is truncated or not a NumPy archive (.npz)")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            known = [name for name in names if name in _NUMBERS or name in _TEXT]
            for name in known:
                _check_member(archive, name)
            arrays = {}
            for name in known:
                with archive.open(f"{name}.npy") as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
            return arrays, [name for name in names if name not in known]
    except (OSError, RuntimeError, ValueError, EOFError, LookupError, NotImplementedError, MemoryError) as error:
        raise FileError(f"{path} is damaged or not an archive of plain arrays: {error}") from error
    except (zlib.error, zipfile.BadZipFile) as error:
        raise FileError(f"{path} is damaged: {error}") from error


def _check_member(archive: zipfile.ZipFile, name: str) -> None:
    """Refuses an array whose header declares something else than what is packed."""
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > max(SMALL, DEFLATE_LIMIT * info.compress_size):
        raise ValueError(f"{name} declares {info.file_size:,} bytes, but only {info.compress_size:,} are stored")
    with archive.open(info) as member:
        shape, dtype = _header(member)
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects")
        declared, there = math.prod(shape) * dtype.itemsize, info.file_size - member.tell()
    if declared != there:
        raise ValueError(f"{name} declares {declared:,} bytes, but {there:,} are packed")


def _header(member: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(member)
    reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if reader is None:
        raise ValueError(f"arrays of version {version} are not plain ones")
    shape, _, dtype = reader(member)
    return shape, dtype


def _float32(array: np.ndarray, span: slice) -> np.ndarray:
    return np.asarray(array[span], np.float32)
