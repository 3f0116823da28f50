"""LeRobotDataset v3.0: a folder with tables in parquet files, many episodes a file. `lerobot_tables` writes them.

meta/info.json                  rate, features (name → dtype, shape, names), counts
meta/stats.json                 least, largest, mean, deviation and quantiles of every feature
meta/tasks.parquet              the task in words
meta/episodes/chunk-000/...     one row an episode: length, where its rows are, and ours: success, seed, source, ...
data/chunk-000/file-000.parquet one row a control step: observation.state, action, next.reward, next.success, ...

videos/KEY/chunk-000/...        where there is footage, a film of all episodes for each camera

Demonstrations hold no pictures: films are made for a dataset that is written (`vision.footage`), and those of a dataset
that is read are left where they are.
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from expertgen.demos.formats.lerobot_tables import DATA, INDICES, OWN, Footage, parquet, write
from expertgen.demos.formats.recording import Episode, Recording
from expertgen.demos.hdf5 import DefectError
from expertgen.errors import FileError
from expertgen.runs.files import read_json

__all__ = ["Footage", "opens", "recognizes", "write"]

FLAT = "state"
"""What LeRobot calls the observation of a robot, after `observation.`."""

_READ = ("action", "next.reward", "next.done", "next.success", *INDICES)
_NUMBERS = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


def recognizes(path: Path) -> bool:
    """Whether a path is a dataset's folder."""
    return (path / "meta" / "info.json").is_file()


@contextmanager
def opens(path: Path) -> Iterator[Recording]:
    """Opens a dataset, given its folder.

    Raises:
        FileError: if it is missing, damaged or of another version.
        UsageError: if pyarrow is not installed.
    """
    pq = parquet()
    features = _features(path)
    shapes = {
        key.removeprefix("observation."): shape
        for key, (kind, shape) in features.items()
        if key.startswith("observation.") and kind in _NUMBERS
    }
    if "action" not in features:
        raise FileError(f"{path} has no feature 'action'; it has {', '.join(features) or 'none'}")
    dropped = [
        f"{key!r} ({kind})"
        for key, (kind, _) in features.items()
        if key not in _READ and key.removeprefix("observation.") not in shapes
    ]
    rows = _episode_rows(path, pq)
    places = [(int(row["data/chunk_index"]), int(row["data/file_index"])) for row in rows]
    expected: dict[tuple[int, int], int] = {}
    for place, row in zip(places, rows, strict=True):
        expected[place] = expected.get(place, 0) + int(row["length"])

    width = features["action"][1][0] if features["action"][1] else 1
    columns = {"action": width, **{name: 1 for name in ("next.reward", "next.success") if name in features}}
    tables = _Tables(path, expected, columns)
    episodes = [
        (f"episode {row['episode_index']}", partial(_read, tables, place, row))
        for row, place in zip(rows, places, strict=True)
    ]
    yield Recording(shapes, features["action"][1], sum(expected.values()), episodes, tuple(dropped), FLAT)


def _features(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name → dtype and shape of every feature."""
    place = path / "meta" / "info.json"
    info = read_json(place)
    try:
        version, features = str(info["codebase_version"]), info["features"].items()
        found = {key: (str(one["dtype"]), tuple(int(n) for n in one["shape"])) for key, one in features}
    except (LookupError, TypeError, ValueError, AttributeError):
        raise FileError(f"{place} is not LeRobot's: codebase_version or features are missing or damaged") from None
    if not version.startswith("v3."):
        raise FileError(f"{path} is a dataset of LeRobot {version}; convert it to v3.0 with LeRobot first")
    return found


def _episode_rows(path: Path, pq: types.ModuleType) -> list[dict[str, Any]]:
    """The rows of the tables of episodes, in the order of the episodes."""
    needed = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    rows: list[dict[str, Any]] = []
    for place in sorted((path / "meta" / "episodes").glob("*/*.parquet")):
        try:
            with pq.ParquetFile(place) as file:
                own = [name for name in OWN if name in file.schema_arrow.names]
                table = file.read(columns=[*needed, *own])
            missing = [name for name in needed if name not in table.column_names]
            if missing:
                raise FileError(f"{place} has no column {missing[0]!r}")
            rows += table.to_pylist()
        except (OSError, ValueError, LookupError, NotImplementedError) as error:
            raise FileError(f"{place} is damaged: {_first_line(error)}") from None
    if not rows:
        raise FileError(f"{path / 'meta' / 'episodes'} has no episode")
    for row in rows:
        if not all(isinstance(row[name], int) and row[name] >= 0 for name in needed):
            raise FileError(f"{path / 'meta' / 'episodes'}: lengths and indices must be integers from 0 on")
    return sorted(rows, key=lambda row: row["episode_index"])


class _Tables:
    """The files of data, of which the last one read is kept.

    Args:
        path: the dataset's folder.
        expected: chunk and file → number of its rows, as the episodes say.
        columns: columns that are always read, and how wide they are.
    """

    def __init__(self, path: Path, expected: Mapping[tuple[int, int], int], columns: Mapping[str, int]) -> None:
        self._path, self._expected, self._columns = path, expected, columns
        self._last: tuple[Any, dict[str, np.ndarray]] = (None, {})

    def read(self, place: tuple[int, int], widths: Mapping[str, int]) -> dict[str, np.ndarray]:
        """Columns of a file as float32 `[rows, columns]`, and `episode_index` int64 `[rows]`.

        Raises:
            DefectError: if it is missing, damaged, or declares other shapes; then nothing of it is read.
        """
        columns = {**self._columns, **widths}
        if self._last[0] != (place, columns):
            self._last = (None, {})  # before the next one takes as much memory
            self._last = ((place, columns), self._read(DATA.format(*place), self._expected[place], columns))
        return self._last[1]

    def _read(self, name: str, expected: int, columns: dict[str, int]) -> dict[str, np.ndarray]:
        if not (self._path / name).is_file():
            raise DefectError(f"{name} is missing")
        try:
            with parquet().ParquetFile(self._path / name) as file:
                if file.metadata.num_rows != expected:
                    raise DefectError(f"{name} has {file.metadata.num_rows:,} rows, but its episodes have {expected:,}")
                counts = _value_counts(file.metadata)
                for key, width in {"episode_index": 1, **columns}.items():
                    if counts.get(key) != expected * width:
                        there = f"has {counts[key]:,} values" if key in counts else "is missing"
                        raise DefectError(f"{name}: {key} {there}, not {width} for each of {expected:,} rows")
                table = file.read(columns=["episode_index", *columns])
            arrays = {key: _float32(table.column(key), expected, width) for key, width in columns.items()}
            arrays["episode_index"] = table.column("episode_index").to_numpy().astype(np.int64)
        except (OSError, ValueError, TypeError, LookupError, NotImplementedError) as error:
            raise DefectError(f"{name} is damaged: {_first_line(error)}") from None
        return arrays


def _value_counts(metadata: Any) -> dict[str, int]:
    """Column → number of single values that a parquet file declares."""
    counts: dict[str, int] = {}
    for i, j in itertools.product(range(metadata.num_row_groups), range(metadata.num_columns)):
        column = metadata.row_group(i).column(j)
        key = column.path_in_schema.removesuffix(".list.element").removesuffix(".list.item")
        counts[key] = counts.get(key, 0) + column.num_values
    return counts


def _float32(column: Any, rows: int, width: int) -> np.ndarray:
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    values = column.combine_chunks()
    if kinds.is_list(values.type) or kinds.is_large_list(values.type) or kinds.is_fixed_size_list(values.type):
        lengths = pc.call_function("list_value_length", [values])
        if set(lengths.unique().to_pylist()) - {width}:
            raise ValueError("lists of different lengths")
        values = values.flatten()
    array = np.asarray(values.to_numpy(zero_copy_only=False))
    if array.dtype.kind not in "fiub" or array.size != rows * width:
        raise ValueError(f"{array.size:,} values of type {values.type} are no {width} numbers for each of {rows} rows")
    return np.asarray(array, np.float32).reshape(rows, width)


def _read(tables: _Tables, place: tuple[int, int], row: Mapping[str, Any], widths: Mapping[str, int]) -> Episode:
    arrays = tables.read(place, {f"observation.{key}": width for key, width in widths.items()})
    number, length = row["episode_index"], row["length"]
    first, end = np.searchsorted(arrays["episode_index"], [number, number + 1]).tolist()
    if end - first != length or not (arrays["episode_index"][first:end] == number).all():
        raise DefectError(f"{end - first} of its {length} rows are there, one after the other")
    observations = {key: arrays[f"observation.{key}"][first:end] for key in widths}
    rewards = arrays["next.reward"][first:end, 0] if "next.reward" in arrays else np.zeros(length, np.float32)
    own = {name: row[name] for name in OWN if row.get(name) is not None}
    for name, value in own.items():
        if not isinstance(value, OWN[name]):
            raise DefectError(f"{name} is {value!r}, which is not of type {OWN[name].__name__}")
    if "success" not in own and "next.success" in arrays:
        own["success"] = bool(arrays["next.success"][first:end].any())
    return Episode(observations, arrays["action"][first:end], rewards, **own)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
