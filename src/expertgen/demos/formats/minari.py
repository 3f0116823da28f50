"""Minari's HDF5 datasets: a folder with `data/main_data.hdf5` and `data/metadata.json`.

episode_<i>                     attributes: id, total_steps, seed, and ours: success, source, failure, origin, weight
  observations[/<field name>]   [T + 1, columns]
  actions                       [T, A]
  rewards, terminations, truncations [T]

Minari keeps the observation after the last action; we do not record it, so what we write repeats the last one there.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from expertgen.demos.formats.recording import FLAT, Episode, Recording
from expertgen.demos.formats.trees import declared_steps, look, read_episode
from expertgen.demos.hdf5 import child, child_group, episode_names, open_hdf5, read_array
from expertgen.demos.store import Demo, DemoSet, Fields
from expertgen.errors import FileError
from expertgen.runs.files import atomic_folder, write_bytes, write_json
from expertgen.tasks.spec import TaskSpec

VERSION = "0.5.0"
"""The oldest version of Minari that wrote this layout; newer ones read it."""

_FILE = "main_data.hdf5"


def recognizes(path: Path) -> bool:
    """Whether a path is a dataset's folder, or its file."""
    if path.is_dir():
        return any((path / inside).is_file() for inside in (f"data/{_FILE}", _FILE))
    if not (path.is_file() and h5py.is_hdf5(path)):
        return False
    with open_hdf5(path) as file:
        return bool(episode_names(file, "episode_"))


@contextmanager
def opens(path: Path) -> Iterator[Recording]:
    """Opens a dataset, given its folder or its file.

    Raises:
        FileError: if it is missing, damaged or not Minari's.
    """
    places = (path / "data" / _FILE, path / _FILE) if path.is_dir() else (path,)
    place = next((place for place in places if place.is_file()), places[-1])
    with open_hdf5(place) as file:
        names = episode_names(file, "episode_")
        if not names:
            raise FileError(f"{place} has no group episode_<i>: it is not a dataset of Minari")
        episodes = [(name, partial(_read, file, name)) for name in names]
        yield Recording(*look(place, file, names, "observations"), declared_steps(file, names), episodes)


def write(demos: DemoSet, task: TaskSpec, path: Path) -> None:
    """Writes a dataset's folder, atomically.

    Raises:
        TrainingError: if the folder cannot be written or the disk is full.
    """
    image = io.BytesIO()  # in memory, because HDF5 crashes on a full disk
    with h5py.File(image, "w", track_order=True) as file:
        for i, demo in enumerate(demos.demos):
            _write(file.create_group(f"episode_{i}"), i, demo, demos.fields)
    data = image.getvalue()
    with atomic_folder(path) as folder:
        write_bytes(folder / "data" / _FILE, data)
        write_json(folder / "data" / "metadata.json", _metadata(demos, task, len(data)))


def _read(file: h5py.File, name: str, widths: Mapping[str, int]) -> Episode:
    episode, group = read_episode(file, name, "observations", "total_steps", 1, widths), child_group(file, name)
    if "success" in group.attrs or child(group, "infos/success") is None:
        return episode
    return replace(episode, success=bool(read_array(group, "infos/success").any()))


def _write(group: h5py.Group, number: int, demo: Demo, fields: Fields) -> None:
    steps = len(demo.actions)
    observations = np.concatenate([demo.observations, demo.observations[-1:]])
    parts = {"observations": observations} if _is_flat(fields) else {}
    parts = parts or {f"observations/{name}": observations[:, start:stop] for name, start, stop in fields}
    ends = np.arange(steps) == steps - 1
    parts |= {"actions": demo.actions, "rewards": demo.rewards}
    parts |= {"terminations": ends & demo.success, "truncations": ends & (not demo.success)}
    for name, array in parts.items():
        group[name] = array
    attributes: dict[str, Any] = {"id": number, "seed": demo.seed, "total_steps": steps}
    attributes |= {name: getattr(demo, name) for name in ("success", "source", "failure", "origin", "weight")}
    group.attrs.update(attributes)


def _metadata(demos: DemoSet, task: TaskSpec, size: int) -> dict[str, Any]:
    wide = {name: _box(stop - start, None) for name, start, stop in demos.fields}
    space = wide[FLAT] if _is_flat(demos.fields) else {"type": "Dict", "subspaces": wide}
    return {
        "dataset_id": f"expertgen/{re.sub(r'[^-_a-zA-Z0-9]', '-', task.id)}-v0",
        "description": f"{task.description} Observations after the last action are copies of the ones before it.",
        "minari_version": VERSION,
        "data_format": "hdf5",
        "total_episodes": len(demos),
        "total_steps": demos.steps,
        "dataset_size": round(size / 1e6, 1),
        "observation_space": json.dumps(space),
        "action_space": json.dumps(_box(demos.action_size, 1.0)),
    }


def _is_flat(fields: Fields) -> bool:
    return len(fields) == 1 and fields[0][0] == FLAT


def _box(columns: int, limit: float | None) -> dict[str, Any]:
    low, high = (-limit, limit) if limit else (-np.inf, np.inf)
    return {"type": "Box", "dtype": "float32", "shape": [columns], "low": [low] * columns, "high": [high] * columns}
