"""The tables of a LeRobotDataset v3.0, as `lerobot` reads them, and its films where there are any."""

from __future__ import annotations

import itertools
import json
import shutil
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expertgen.demos.store import Demo, DemoSet, Fields
from expertgen.errors import UsageError
from expertgen.runs.files import atomic_folder, write_json
from expertgen.tasks.spec import TaskSpec

FILE_BYTES = 100_000_000
"""About how large a file of data becomes; an episode is never divided."""

VIDEO = "videos/{}/chunk-000/file-000.mp4"
"""Where a film is: one file holds all episodes."""

FILES_PER_CHUNK = 1000
"""Files of data in a folder."""

DATA = "data/chunk-{:03d}/file-{:03d}.parquet"
"""Where the rows of control steps are."""

INDICES = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""Columns that every dataset has."""

OWN = {"success": bool, "seed": int, "source": str, "failure": str, "origin": str, "weight": float}
"""Columns of ours in the table of episodes; they are optional."""

_TASKS_INDEX = json.dumps(
    {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"},
            {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object"},
        ],
        "pandas_version": "2.0.0",
    }
)
"""What tells pandas, by which LeRobot reads the tasks, that the words are the index."""


@dataclass(frozen=True)
class Footage:
    """A film of all demonstrations, one after the other, with one picture (H.264, yuv420p) a control step.

    Attributes:
        camera: name of the camera.
        path: the film.
        width: columns [pixels].
        height: rows [pixels].
        colors: `color_statistics` of each demonstration.
    """

    camera: str
    path: Path
    width: int
    height: int
    colors: list[np.ndarray]

    @property
    def key(self) -> str:
        """What LeRobot calls it."""
        return f"observation.images.{self.camera}"


def color_statistics(pixels: np.ndarray) -> np.ndarray:
    """Least, largest, mean and deviation of red, green and blue.

    Args:
        pixels: uint8 `[n, 3]`.

    Returns:
        float64 `[4, 3]`, where 1 is full brightness.
    """
    return np.stack([pixels.min(axis=0), pixels.max(axis=0), pixels.mean(axis=0), pixels.std(axis=0)]) / 255


def write(demos: DemoSet, task: TaskSpec, path: Path, films: Sequence[Footage] = ()) -> None:
    """Writes a dataset's folder, atomically.

    Args:
        demos: the demonstrations.
        task: their task.
        path: the folder.
        films: films of these demonstrations, which are copied.

    Raises:
        TrainingError: if the folder cannot be written or the disk is full.
        UsageError: if pyarrow is not installed.
    """
    pq = parquet()
    rate = int(task.control_rate) if float(task.control_rate).is_integer() else task.control_rate
    with atomic_folder(path) as folder:
        rows, first = [], 0
        for number, (start, stop) in enumerate(_files(demos)):
            place, span = divmod(number, FILES_PER_CHUNK), demos.demos[start:stop]
            arrays = _arrays(span, start, first, rate)
            _write_table(pq, folder / DATA.format(*place), {name: _arrow(array) for name, array in arrays.items()})
            ends = np.cumsum([len(demo.actions) for demo in span])
            for i, (demo, end) in enumerate(zip(span, ends.tolist(), strict=True)):
                inside = slice(end - len(demo.actions), end)
                stats = {name: _statistics(array[inside]) for name, array in arrays.items()}
                rows.append(_row(start + i, demo, task, place, first + end, stats))
            first += int(ends[-1])
        for film in films:
            _add_film(rows, film, rate)
            place = folder / VIDEO.format(film.key)
            place.parent.mkdir(parents=True)
            shutil.copyfile(film.path, place)
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        _write_table(pq, folder / "meta/episodes/chunk-000/file-000.parquet", columns)
        _write_table(pq, folder / "meta/tasks.parquet", {"task_index": [0], "task": [task.description]}, _TASKS_INDEX)
        whole = _arrays(demos.demos, 0, 0, rate)
        stats = {name: _statistics(array, True) for name, array in whole.items()}
        stats |= {film.key: _pooled_colors(film, [len(demo.actions) for demo in demos.demos]) for film in films}
        write_json(folder / "meta/stats.json", stats)
        write_json(folder / "meta/info.json", _info(demos, task, rate, films))


def parquet() -> types.ModuleType:
    """The module that reads and writes parquet files.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError("datasets of LeRobot need pyarrow: pip install 'expertgen[lerobot]'") from error
    return pq


def _files(demos: DemoSet) -> list[tuple[int, int]]:
    """First episode and one past the last of every file."""
    size = 4 * (demos.observation_size + demos.action_size + 12)
    ends = np.cumsum([size * len(demo.actions) for demo in demos.demos])
    numbers = (ends - 1) // FILE_BYTES
    borders = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(demos)]
    return list(itertools.pairwise(borders))


def _arrays(span: tuple[Demo, ...], number: int, first: int, rate: float) -> dict[str, np.ndarray]:
    """All columns of some episodes; `number` is the first episode's, `first` that of its first control step."""
    lengths = np.array([len(demo.actions) for demo in span])
    frame = np.concatenate([np.arange(length) for length in lengths])
    last = np.concatenate([np.arange(length) == length - 1 for length in lengths])
    return {
        "observation.state": np.concatenate([demo.observations for demo in span]),
        "action": np.concatenate([demo.actions for demo in span]),
        "next.reward": np.concatenate([demo.rewards for demo in span]),
        "next.done": last,
        "next.success": last & np.repeat([demo.success for demo in span], lengths),
        "timestamp": (frame / rate).astype(np.float32),
        "frame_index": frame,
        "episode_index": np.repeat(np.arange(number, number + len(span)), lengths),
        "index": np.arange(first, first + len(frame)),
        "task_index": np.zeros(len(frame), np.int64),
    }


def _row(
    number: int, demo: Demo, task: TaskSpec, place: tuple[int, int], end: int, stats: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    row: dict[str, Any] = {"episode_index": number, "tasks": [task.description], "length": len(demo.actions)}
    row |= {"data/chunk_index": place[0], "data/file_index": place[1]}
    row |= {"dataset_from_index": end - len(demo.actions), "dataset_to_index": end}
    row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
    row |= {name: kind(getattr(demo, name)) for name, kind in OWN.items()}
    return row | {f"stats/{key}/{what}": value for key, one in stats.items() for what, value in one.items()}


def _statistics(array: np.ndarray, quantiles: bool = False) -> dict[str, list[float] | list[int]]:
    rows = array.reshape(len(array), -1).astype(np.float64)
    found = {"min": rows.min(axis=0), "max": rows.max(axis=0), "mean": rows.mean(axis=0), "std": rows.std(axis=0)}
    if quantiles:
        shares = (0.01, 0.10, 0.50, 0.90, 0.99)
        values = np.quantile(rows, shares, axis=0)
        found |= {f"q{share * 100:02.0f}": value for share, value in zip(shares, values, strict=True)}
    return {"count": [len(rows)], **{name: values.tolist() for name, values in found.items()}}


def _add_film(rows: list[dict[str, Any]], film: Footage, rate: float) -> None:
    """Adds to the rows of the episodes where in a film they are."""
    for row, colors in zip(rows, film.colors, strict=True):
        place = f"videos/{film.key}"
        row |= {f"{place}/chunk_index": 0, f"{place}/file_index": 0}
        row |= {
            f"{place}/from_timestamp": row["dataset_from_index"] / rate,
            f"{place}/to_timestamp": row["dataset_to_index"] / rate,
        }
        row |= {f"stats/{film.key}/{what}": value for what, value in _image_statistics(colors, row["length"]).items()}


def _pooled_colors(film: Footage, lengths: list[int]) -> dict[str, Any]:
    """Statistics of a whole film, from those of its demonstrations."""
    least, largest, means, deviations = np.stack(film.colors, axis=1)
    mean = np.average(means, axis=0, weights=lengths)
    variance = np.average(deviations**2 + (means - mean) ** 2, axis=0, weights=lengths)
    return _image_statistics(np.stack([least.min(axis=0), largest.max(axis=0), mean, np.sqrt(variance)]), sum(lengths))


def _image_statistics(colors: np.ndarray, count: int) -> dict[str, Any]:
    named = zip(("min", "max", "mean", "std"), colors, strict=True)
    return {"count": [count], **{name: value.reshape(3, 1, 1).tolist() for name, value in named}}


def _info(demos: DemoSet, task: TaskSpec, rate: float, films: Sequence[Footage]) -> dict[str, Any]:
    features: dict[str, dict[str, Any]] = {
        "observation.state": _feature("float32", demos.observation_size, _column_names(demos.fields)),
        "action": _feature("float32", demos.action_size, list(task.action_names)),
        "next.reward": _feature("float32"),
        "next.done": _feature("bool"),
        "next.success": _feature("bool"),
    }
    features |= {film.key: _video(film, rate) for film in films}
    features |= {name: _feature("float32" if name == "timestamp" else "int64") for name in INDICES}
    return {
        "codebase_version": "v3.0",
        "robot_type": task.simulator,
        "total_episodes": len(demos),
        "total_frames": demos.steps,
        "total_tasks": 1,
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": FILE_BYTES // 1_000_000,
        "video_files_size_in_mb": 200,
        "fps": rate,
        "splits": {"train": f"0:{len(demos)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4" if films else None,
        "features": features,
    }


def _feature(dtype: str, columns: int = 1, names: list[str] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [columns], "names": names}


def _video(film: Footage, rate: float) -> dict[str, Any]:
    of_film = {"height": film.height, "width": film.width, "channels": 3, "fps": rate}
    of_film |= {"codec": "h264", "pix_fmt": "yuv420p", "is_depth_map": False}
    return {
        "dtype": "video",
        "shape": [film.height, film.width, 3],
        "names": ["height", "width", "channels"],
        "info": {**{f"video.{name}": value for name, value in of_film.items()}, "has_audio": False},
    }


def _column_names(fields: Fields) -> list[str]:
    spans = ((name, stop - start) for name, start, stop in fields)
    return [name if width == 1 else f"{name}_{i}" for name, width in spans for i in range(width)]


def _arrow(array: np.ndarray) -> Any:
    import pyarrow as pa

    if array.ndim == 1 or array.shape[1] == 1:
        return pa.array(array.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])


def _write_table(pq: types.ModuleType, path: Path, columns: Mapping[str, Any], metadata: str | None = None) -> None:
    import pyarrow as pa

    table = pa.table(dict(columns))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"pandas": metadata}) if metadata else table, path)
