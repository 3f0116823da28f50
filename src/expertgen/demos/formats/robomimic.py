"""robomimic's HDF5 files: `data/demo_<i>` with `obs/<name>`, `actions`, `rewards` and `dones`.

Our own attributes of an episode stand beside robomimic's `num_samples`. What we write has `next_obs`, too, which the
library reads by default; as the observation after the last action is not recorded, the last one is repeated there.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from expertgen.demos.formats.recording import Recording
from expertgen.demos.formats.trees import declared_steps, look, read_episode
from expertgen.demos.hdf5 import child, episode_names, open_hdf5
from expertgen.demos.store import DemoSet, write_episode
from expertgen.errors import FileError
from expertgen.runs.files import write_bytes
from expertgen.tasks.spec import TaskSpec

GYM_TYPE = 2
"""robomimic's number for environments of Gym."""


def recognizes(path: Path) -> bool:
    """Whether a path is an HDF5 file with a group `data`."""
    if not (path.is_file() and h5py.is_hdf5(path)):
        return False
    with open_hdf5(path) as file:
        return "data" in file


@contextmanager
def opens(path: Path) -> Iterator[Recording]:
    """Opens a file.

    Raises:
        FileError: if it is missing, damaged or not robomimic's.
    """
    with open_hdf5(path) as file:
        data = child(file, "data")
        names = episode_names(data, "demo_") if isinstance(data, h5py.Group) else []
        if not names or not isinstance(data, h5py.Group):
            raise FileError(f"{path} has no group data/demo_<i>: it is not a robomimic file")
        episodes = [(name, partial(read_episode, data, name, "obs", "num_samples", 0)) for name in names]
        dropped = tuple(f"group {name!r}" for name in file if name != "data")
        yield Recording(*look(path, data, names, "obs"), declared_steps(data, names), episodes, dropped)


def write(demos: DemoSet, task: TaskSpec, path: Path) -> None:
    """Writes a file, atomically.

    Raises:
        TrainingError: if the folder cannot be written or the disk is full.
    """
    image = io.BytesIO()  # in memory, because HDF5 crashes on a full disk
    with h5py.File(image, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_name": task.simulator_id, "type": GYM_TYPE, "env_kwargs": {}})
        data.attrs["total"] = demos.steps
        for i, demo in enumerate(demos.demos):
            group = data.create_group(f"demo_{i}")
            write_episode(group, demo, demos.fields)
            following = np.concatenate([demo.observations[1:], demo.observations[-1:]])
            for name, start, stop in demos.fields:
                group[f"next_obs/{name}"] = following[:, start:stop]
    write_bytes(path, image.getvalue())
