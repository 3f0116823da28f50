"""Reading HDF5 files that may be damaged or hostile: every way they can be is one line, told before data are read.

What a file says of itself costs nothing to write. So a dataset is looked at before it is read: links that lead
elsewhere, data kept in other files, values that are not numbers, filters that would load code, and shapes that what is
stored cannot fill are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from expertgen.errors import FileError

_Scalar = TypeVar("_Scalar", bool, int, float, str)

BUILT_IN_FILTERS = frozenset((1, 2, 3, 4, 5, 6, 32000))
"""Deflate, shuffle, Fletcher's checksum, szip, n-bit, scale-offset and LZF: HDF5's own and h5py's."""

DEFLATE_LIMIT = 1032
"""No byte of a deflate stream unpacks to more than so many."""

SMALL = 1 << 24
"""Bytes that are never too many, whatever is stored."""

_HARD_LINK = 0
_LINKS = {1: "another place", 64: "another file"}
"""HDF5's numbers for the kinds of links that are not hard ones, and where they lead."""


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


def child(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """The group or dataset at a path inside a group; None if there is none.

    Raises:
        DefectError: if it is damaged, or the way there leads through a link.
    """
    place: Any = group
    try:
        for part in name.split("/"):
            key = part.encode()
            if not (isinstance(place, h5py.Group) and place.id.links.exists(key)):
                return None
            kind = place.id.links.get_info(key).type
            if kind != _HARD_LINK:
                raise DefectError(f"{name} is a link to {_LINKS.get(kind, 'elsewhere')}; put the data themselves there")
            place = place[part]
    except (OSError, RuntimeError, LookupError, TypeError, ValueError):
        raise DefectError(f"{name} is damaged") from None
    return place if isinstance(place, h5py.Group | h5py.Dataset) else None


def child_group(group: h5py.Group, name: str) -> h5py.Group:
    """The group of that name.

    Raises:
        DefectError: if there is none, or `child` refuses it.
    """
    found = child(group, name)
    if not isinstance(found, h5py.Group):
        raise DefectError(f"{name} is missing" if found is None else f"{name} is not a group")
    return found


def episode_names(group: h5py.Group, prefix: str) -> list[str]:
    """The names `<prefix><i>` in a group, in the order of their numbers."""
    numbers = {name: name.removeprefix(prefix) for name in map(str, group) if name.startswith(prefix)}
    return sorted((name for name, number in numbers.items() if number.isdecimal()), key=lambda n: int(numbers[n]))


def find_array(group: h5py.Group, name: str) -> h5py.Dataset:
    """Finds a dataset of numbers without reading it.

    Raises:
        DefectError: if it is missing, a single value, or one of the things that this module refuses.
    """
    dataset = child(group, name)
    if not isinstance(dataset, h5py.Dataset):
        raise DefectError(f"{name} is missing")
    try:
        _check_dataset(name, dataset)
    except (OSError, RuntimeError, LookupError, TypeError, ValueError):
        raise DefectError(f"{name} is damaged") from None
    return dataset


def read_array(group: h5py.Group, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Reads a dataset as float32.

    Args:
        group: where it is.
        name: its path there.
        shape: what it must have, checked before anything is read; a single column may lack its axis.

    Raises:
        DefectError: if `find_array` refuses it, it has another shape, or is damaged.
    """
    dataset = find_array(group, name)
    if shape is not None and dataset.shape not in (shape, shape[:-1] if shape[-1] == 1 else shape):
        raise DefectError(f"{name} has shape {list(dataset.shape)}, not {list(shape)}")
    try:
        array = np.asarray(dataset[()], np.float32)
    except (OSError, RuntimeError, LookupError, TypeError, ValueError):
        raise DefectError(f"{name} is damaged") from None
    return array if shape is None else array.reshape(shape)


def attribute(group: h5py.Group, name: str, kind: type[_Scalar], default: _Scalar | None = None) -> _Scalar:
    """Reads an attribute.

    Args:
        group: where it is.
        name: its name.
        kind: what it must be; an integer may stand for a float or, if it is 0 or 1, for a truth value.
        default: what it is where it is missing.

    Raises:
        DefectError: if it is missing without a default, damaged or of another kind.
    """
    try:
        if name not in group.attrs:
            if default is None:
                raise DefectError(f"attribute {name!r} is missing")
            return default
        value: Any = group.attrs[name]
    except (OSError, RuntimeError, LookupError, TypeError, ValueError):
        raise DefectError(f"attribute {name!r} is damaged") from None
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    if (kind is float and isinstance(value, int)) or (kind is bool and value in (0, 1)):
        value = kind(value)
    if type(value) is not kind:
        raise DefectError(f"attribute {name!r} is not a value of type {kind.__name__}")
    return kind(value)


def array_shapes(group: h5py.Group, depth: int = 3) -> dict[str, tuple[int, ...]]:
    """The shapes of all datasets of numbers in a group, by their paths; what is refused is left out."""
    found: dict[str, tuple[int, ...]] = {}
    for name in map(str, group):
        try:
            inside = child(group, name)
            if isinstance(inside, h5py.Dataset):
                found[name] = find_array(group, name).shape
            elif inside is not None and depth > 1:
                found |= {f"{name}/{path}": shape for path, shape in array_shapes(inside, depth - 1).items()}
        except DefectError:
            continue
    return found


def _check_dataset(name: str, dataset: h5py.Dataset) -> None:
    creation, dtype, shape = dataset.id.get_create_plist(), dataset.dtype, dataset.shape
    layout = creation.get_layout()
    if layout == h5py.h5d.VIRTUAL or (layout == h5py.h5d.CONTIGUOUS and creation.get_external_count()):
        raise DefectError(f"{name} keeps its data in other files; put the data themselves there")
    if dtype.kind not in "fiub":
        raise DefectError(f"{name} does not hold numbers")
    if not shape:
        raise DefectError(f"{name} is not an array, but a single value")
    for i in range(creation.get_nfilters()):
        code = creation.get_filter(i)[0]
        if code not in BUILT_IN_FILTERS:
            raise DefectError(f"{name} is packed by filter {code}, which is not HDF5's own; pack it with gzip")
    declared = math.prod(shape) * dtype.itemsize
    if declared > SMALL and declared > DEFLATE_LIMIT * (stored := dataset.id.get_storage_size()):
        raise DefectError(f"{name} declares shape {list(shape)}, but only {stored:,} bytes are stored")
    if layout == h5py.h5d.CHUNKED:
        chunk = creation.get_chunk()
        if math.prod(chunk) * dtype.itemsize > max(SMALL, declared):
            raise DefectError(f"{name} declares chunks of shape {list(chunk)}, larger than itself")
