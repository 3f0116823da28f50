"""Reading HDF5 files that may be damaged: every way they can be is one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from expertgen.errors import FileError


class DefectError(FileError):
    """An episode that cannot be used. The message says what is wrong with it; the reader adds the file and the episode."""


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
    except (OSError, RuntimeError) as error:
        raise FileError(f"{path} is truncated or damaged; make it again") from error


def demo_names(data: h5py.Group) -> list[str]:
    """Names of the episodes `demo_<i>` of a group, in the order of their numbers."""
    names = [name for name in data if name.startswith("demo_") and name[5:].isdecimal()]
    return sorted(names, key=lambda name: int(name[5:]))


def read_array(group: h5py.Group, name: str) -> np.ndarray:
    """Reads a dataset as float32.

    Raises:
        DefectError: if it is missing, damaged, or does not hold numbers.
    """
    if name not in group:
        raise DefectError(f"{name} is missing")
    try:
        return np.asarray(group[name][()], np.float32)
    except (OSError, RuntimeError):
        raise DefectError(f"{name} is damaged") from None
    except (TypeError, ValueError):
        raise DefectError(f"{name} does not hold numbers") from None
