"""Reading HDF5 files that may be damaged: every way they can be is one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from expertgen.errors import FileError


class DefectError(FileError):
    """An episode that cannot be used. The message says what is wrong; the reader adds the file and the episode."""


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Opens an HDF5 file to read.

    Raises:
        FileError: if it is missing, truncated, damaged or not HDF5.
    """
    if not path.is_file():
        raise FileError(f"{path} is not a file" if path.exists() else f"{path} does not exist")
    if not h5py.is_hdf5(path):
        raise FileError(f"{path} is not an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:  # h5py has no error of its own
        raise FileError(f"{path} is truncated or damaged; make it again") from error


def attributes(group: h5py.Group) -> dict[str, Any]:
    """The attributes of a group, as a plain dictionary."""
    return dict(group.attrs)


def episode_groups(data: h5py.Group) -> list[tuple[str, h5py.Group]]:
    """The groups `demo_<i>` of a group with their names, in the order of their numbers."""
    found = [(name, group) for name, group in data.items() if isinstance(group, h5py.Group)]
    found = [(name, group) for name, group in found if name.startswith("demo_") and name[5:].isdecimal()]
    return sorted(found, key=lambda entry: int(entry[0][5:]))


def read_array(group: h5py.Group, name: str) -> np.ndarray:
    """Reads a dataset as float32.

    Raises:
        DefectError: if it is missing, damaged, a single value, or does not hold numbers.
    """
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise DefectError(f"{name} is missing")
    try:
        array = np.asarray(dataset[()], np.float32)
    except (OSError, RuntimeError):
        raise DefectError(f"{name} is damaged") from None
    except (TypeError, ValueError):
        raise DefectError(f"{name} does not hold numbers") from None
    if array.ndim == 0:
        raise DefectError(f"{name} is not an array, but a single value")
    return array
