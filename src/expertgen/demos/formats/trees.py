"""HDF5 files with one group an episode, which is what robomimic's and Minari's have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from expertgen.demos.formats.recording import FLAT, Episode
from expertgen.demos.hdf5 import DefectError, array_shapes, attribute, child, child_group, find_array, read_array
from expertgen.errors import FileError


def look(
    path: Path, parent: h5py.Group, names: Iterable[str], observations: str
) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """Shapes at one control step, from the first episode that has both observations and actions.

    Args:
        path: the file.
        parent: the group of all episodes.
        names: the episodes, at least one.
        observations: what an episode calls its observations, a group or a single dataset.

    Returns:
        those of the observations by name, and that of the actions.

    Raises:
        FileError: if there is no such episode; it says what is wrong with the first.
    """
    problem = ""
    for name in names:
        try:
            group = child_group(parent, name)
            actions = find_array(group, "actions").shape[1:]
            if isinstance(child(group, observations), h5py.Dataset):
                return {FLAT: find_array(group, observations).shape[1:]}, actions
            shapes = array_shapes(child_group(group, observations))
            return {key: shape[1:] for key, shape in shapes.items()}, actions
        except DefectError as error:
            problem = problem or f"{path}: {name}: {error}"
    raise FileError(problem)


def declared_steps(parent: h5py.Group, names: Iterable[str]) -> int:
    """Control steps of all episodes together, as declared; nothing is read."""
    steps = 0
    for name in names:
        with suppress(DefectError):
            steps += len(find_array(child_group(parent, name), "actions"))
    return steps


def read_episode(
    parent: h5py.Group, name: str, observations: str, count: str, extra: int, widths: Mapping[str, int]
) -> Episode:
    """Reads one episode.

    Args:
        parent: the group of all episodes.
        name: the episode.
        observations: what it calls its observations, a group or a single dataset.
        count: its attribute with the number of its control steps, where it has one.
        extra: observations beyond one for each action, at the end; they are not given back.
        widths: observations to read, and the number of their columns.

    Raises:
        DefectError: if it is not whole.
    """
    group = child_group(parent, name)
    actions = read_array(group, "actions")
    steps = len(actions)
    if (said := attribute(group, count, int, steps)) != steps:
        raise DefectError(f"it has {steps} actions, but {count} says {said}")
    there = child(group, "rewards") is not None
    rewards = read_array(group, "rewards", (steps,)) if there else np.zeros(steps, np.float32)
    flat = isinstance(child(group, observations), h5py.Dataset)
    columns = {}
    for key, width in widths.items():
        place = observations if flat and key == FLAT else f"{observations}/{key}"
        columns[key] = read_array(group, place, (steps + extra, width))[:steps]
    return Episode(
        columns,
        actions,
        rewards,
        success=attribute(group, "success", bool, True),
        seed=attribute(group, "seed", int, 0),
        source=attribute(group, "source", str, ""),
        failure=attribute(group, "failure", str, ""),
        origin=attribute(group, "origin", str, ""),
        weight=attribute(group, "weight", float, 1.0),
    )
