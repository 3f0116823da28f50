"""Demonstrations from and for other programs: whatever the format, columns go by name, and what does not fit is told.

Four formats (`FORMATS`) give a `Recording`, and everything else is the same for all of them: which observation of the
file fills which columns, what is dropped or padded, actions slightly out of range, episodes with a defect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from expertgen.demos.formats import lerobot, minari, npz, robomimic
from expertgen.demos.formats.recording import FLAT, Episode, Recording, check_memory
from expertgen.demos.hdf5 import DefectError
from expertgen.demos.store import Demo, DemoSet, Fields, check_demo, fields_of
from expertgen.errors import FileError, UsageError, nearest
from expertgen.tasks.spec import TaskSpec

CLIP_LIMIT = 2.0
"""Actions beyond this are not slightly out of range but in other units, and refused even with clipping."""


@dataclass(frozen=True)
class Format:
    """A format that others read and write.

    Attributes:
        recognizes: whether a path looks like one.
        opens: opens a path.
        write: writes demonstrations of a task to a path.
        suffix: how names of its files end; empty if it is a folder.
    """

    recognizes: Callable[[Path], bool]
    opens: Callable[[Path], AbstractContextManager[Recording]]
    write: Callable[[DemoSet, TaskSpec, Path], None]
    suffix: str


FORMATS = {
    "npz": Format(npz.recognizes, npz.opens, npz.write, ".npz"),
    "robomimic": Format(robomimic.recognizes, robomimic.opens, robomimic.write, ".hdf5"),
    "minari": Format(minari.recognizes, minari.opens, minari.write, ""),
    "lerobot": Format(lerobot.recognizes, lerobot.opens, lerobot.write, ""),
}
"""Name → format."""


def find_format(name: str) -> Format:
    """The format of that name.

    Raises:
        UsageError: if there is none.
    """
    if name not in FORMATS:
        raise UsageError(f"there is no format {name!r}; choose one of {', '.join(FORMATS)}")
    return FORMATS[name]


def recognize(path: Path) -> Format:
    """The format that a file or folder has.

    Raises:
        FileError: if it is missing, or none that we know.
    """
    if not path.exists():
        raise FileError(f"{path} does not exist")
    for found in FORMATS.values():
        if found.recognizes(path):
            return found
    raise FileError(f"{path} is of no format that can be imported; these can be: {', '.join(FORMATS)}")


def export_demos(
    demos: DemoSet, task: TaskSpec, path: Path, format: str, films: Sequence[lerobot.Footage] = ()
) -> None:
    """Writes demonstrations in another format, atomically.

    Args:
        demos: the demonstrations.
        task: their task: its rate, its words and the names of its actions go into the file.
        path: file or folder to write.
        format: name of the format, one of `FORMATS`.
        films: films of these demonstrations (`vision.footage`), for LeRobot.

    Raises:
        UsageError: if there is no such format, they are of another task, a package is missing, or the format holds no
            films.
        TrainingError: if the place cannot be written or the disk is full.
    """
    demos.check(task)
    if films:
        check_films(format)
        lerobot.write(demos, task, path, films)
    else:
        find_format(format).write(demos, task, path)


def check_films(format: str) -> None:
    """Refuses a format that holds no films.

    Raises:
        UsageError: if it does not.
    """
    if find_format(format) is not FORMATS["lerobot"]:
        raise UsageError(f"format {format!r} holds no pictures; leave --cameras out, or choose --format lerobot")


def import_demos(
    path: Path,
    task: TaskSpec,
    source: str = "",
    *,
    format: str | None = None,
    names: Mapping[str, str] | None = None,
    pad: bool = False,
    clip: bool = True,
    skip_broken: bool = False,
) -> DemoSet:
    """Reads demonstrations of another format.

    Observations are found by the names of the task's fields. A file that has none of these names may have a flat
    observation with all columns in the task's order.

    Args:
        path: the file or folder.
        task: what the demonstrations are of.
        source: who demonstrated, where the file does not say; by default its name.
        format: name of the format, one of `FORMATS`; by default what the file looks like.
        names: the task's field, or `"observation"` for all of them → its name in the file, where they differ.
        pad: fill fields that the file does not have with 0, with a line in `notes`, instead of refusing it.
        clip: clip actions slightly out of range, with their number in `notes`; otherwise they are a defect.
        skip_broken: leave broken episodes out, with a line in `notes` for each, instead of refusing the file.

    Returns:
        the demonstrations; `notes` say what was dropped, padded, clipped and left out.

    Raises:
        UsageError: if there is no such format, or `names` has a field that the task does not have.
        FileError: if the file is missing or broken, or does not fit the task; the field is named.
    """
    found = find_format(format) if format else recognize(path)
    with found.opens(path) as recording:
        check_memory(path, recording.steps, task.observation_size + task.action_size + 1)
        parts, notes = _assign(path, recording, task, names or {}, pad)
        if recording.actions not in ((task.action_size,), () if task.action_size == 1 else None):
            shape = list(recording.actions)
            raise FileError(f"{path}: actions have shape {shape} at a step, but {task.id!r} needs [{task.action_size}]")
        widths = {key: stop - start for key, start, stop in parts}
        demos: list[Demo] = []
        clipping = _Clipping(clip)
        for name, read in recording.episodes:
            try:
                demo = _demo(read(widths), parts, task, source or path.name, f"{path.name}: {name}")
                demo = clipping(demo)
                check_demo(demo, fields_of(task), task.action_size)
                demos.append(demo)
            except DefectError as problem:
                if not skip_broken:
                    raise FileError(f"{path}: {name}: {problem}; mend it, or leave it out with --skip-broken") from None
                notes.append(f"left out {name}: {problem}")
    if not demos:
        raise FileError(f"{path} holds no whole demonstration of {task.id!r}")
    return DemoSet(task.id, fields_of(task), tuple(demos), (*notes, *clipping.notes(demos)))


class _Clipping:
    """Clips actions slightly out of range, and counts."""

    def __init__(self, wanted: bool) -> None:
        self._wanted, self._count, self._reach = wanted, 0, 0.0

    def __call__(self, demo: Demo) -> Demo:
        """Returns the demonstration with its actions in [-1, 1]; those in other units are a defect."""
        largest = float(np.abs(demo.actions).max(initial=0.0))
        if not self._wanted or not largest > 1.0:
            return demo
        if largest > CLIP_LIMIT:
            raise DefectError(f"actions reach {largest:.3g}: scale them to [-1, 1]")
        self._count += int((np.abs(demo.actions) > 1.0).sum())
        self._reach = max(self._reach, largest)
        return replace(demo, actions=demo.actions.clip(-1.0, 1.0))

    def notes(self, demos: list[Demo]) -> list[str]:
        """What was done, in at most one line."""
        values = sum(demo.actions.size for demo in demos)
        told = f"clipped {self._count:,} of {values:,} action values to [-1, 1]; the largest was {self._reach:.3g}"
        return [told] if self._count else []


def _assign(
    path: Path, recording: Recording, task: TaskSpec, names: Mapping[str, str], pad: bool
) -> tuple[Fields, list[str]]:
    """Which observation of the file fills which columns, and what is dropped and padded, in words."""
    there, fields = recording.observations, fields_of(task)
    known = [name for name, _, _ in fields]
    for name in names:
        if name not in (*known, FLAT):
            raise UsageError(f"task {task.id!r} has no observation field {name!r}{nearest(name, known)}")
    keys = {name: names.get(name, name) for name in known}
    flat, notes = names.get(FLAT, recording.flat), []
    if flat in there and (FLAT in names or not any(key in there for key in keys.values())):
        parts: Fields = ((flat, 0, task.observation_size),)
    else:
        parts = tuple((keys[name], start, stop) for name, start, stop in fields if keys[name] in there)
        for name, start, stop in fields:
            if keys[name] in there:
                continue
            if name.startswith("unnamed_"):
                notes.append(f"filled columns {start}:{stop}, which the task does not name, with 0")
            elif pad and parts:
                notes.append(f"padded {name!r}, columns {start}:{stop}, with 0: there is no observation {keys[name]!r}")
            else:
                raise FileError(
                    f"{path} has no observation {keys[name]!r} for field {name!r} of {task.id!r}; it has "
                    f"{', '.join(there) or 'none'}: say which it is with --names {name}=..., or fill it with 0 by --pad"
                )
    for key, start, stop in parts:
        if there[key] != (stop - start,) and not (stop - start == 1 and there[key] == ()):
            raise FileError(
                f"{path}: observation {key!r} has shape {list(there[key])} at a step, but {task.id!r} needs "
                f"[{stop - start}]"
            )
    used = {key for key, _, _ in parts}
    unused = [f"observation {key!r} {list(shape)}" for key, shape in there.items() if key not in used]
    if dropped := [*unused, *recording.dropped]:
        notes.append(f"dropped {', '.join(dropped)}")
    return parts, notes


def _demo(episode: Episode, parts: Fields, task: TaskSpec, source: str, origin: str) -> Demo:
    steps = len(episode.actions)
    observations = np.zeros((steps, task.observation_size), np.float32)
    for key, start, stop in parts:
        if episode.observations[key].shape != (steps, stop - start):
            raise DefectError(f"{key} has shape {list(episode.observations[key].shape)}, not {[steps, stop - start]}")
        observations[:, start:stop] = episode.observations[key]
    return Demo(
        observations,
        episode.actions.reshape(steps, -1),
        episode.rewards,
        episode.success,
        episode.seed,
        episode.source or source,
        episode.failure,
        episode.origin or origin,
        episode.weight,
    )
