"""One member of a suite: its process, its log, and its sealed result."""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from expertgen.errors import ExpertgenError, FileError
from expertgen.runs.files import read_json, write_json
from expertgen.runs.machine import die_with_parent, machine_description, prepare_process, source_digest
from expertgen.suite.kinds import Kind
from expertgen.suite.plan import Member
from expertgen.suite.table import Origin, Point, check_points

FORMAT = 2
"""Version of `result.json`."""

_REPORT_EVERY = 1.0
"""Seconds between two reports of progress."""


@dataclass(frozen=True)
class Result:
    """What a member measured, and what it was made by."""

    points: tuple[Point, ...]
    origin: Origin


def work(kind: Kind, member: Member, folder: Path, common: Path, core: int | None, pipe: Connection) -> None:
    """What a member's process does: the run, or what is left of it, then `result.json`.

    Args:
        kind: what kind of run it is.
        member: what is to be done.
        folder: the member's folder; the run gets `folder/run`, and whatever is printed goes to `folder/log.txt`.
        common: folder of what the members of the suite share.
        core: core to stay on.
        pipe: where to report progress, as `StageProgress`, and in the end what went wrong, as text.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the suite ends its members itself
    die_with_parent()
    _log_to(folder / "log.txt")
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    print(f"--- {member} on core {core}, process {os.getpid()}, {time.strftime('%Y-%m-%d %H:%M:%S')}", flush=True)
    try:
        prepare_process()
        reported = 0.0
        for progress in kind.run(member.settings, folder / "run", common):
            if time.monotonic() - reported > _REPORT_EVERY:
                pipe.send(progress)
                reported = time.monotonic()
        write_result(folder / "result.json", member, kind.read(member.settings, folder / "run"))
    except Exception as error:
        traceback.print_exc()
        pipe.send(str(error) if isinstance(error, ExpertgenError) else f"{type(error).__name__}: {error}")
        sys.exit(1)


def write_result(path: Path, member: Member, points: list[Point]) -> None:
    """Writes what a member measured, sealed with a digest of itself.

    Raises:
        TrainingError: if that is no result, such as a value that is not finite.
    """
    check_points(points)
    origin = Origin(source_digest(), machine_description()["cpu"])
    content = {"format": FORMAT, "expertgen": version("expertgen"), "origin": asdict(origin), "member": asdict(member)}
    content["points"] = [list(asdict(point).values()) for point in points]
    write_json(path, content | {"digest": _digest(content)})


def read_result(path: Path, member: Member) -> Result | None:
    """Reads what a member measured; None if it has not got that far.

    Raises:
        FileError: if the file is of another version, of other settings, or was changed since it was written.
    """
    if not path.exists():
        return None
    mend = f"delete {path} to let the run be read or done again, or start a new suite"
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FileError(f"{path} is not a result of format {FORMAT}; {mend}")
    if content.get("digest") != _digest({key: value for key, value in content.items() if key != "digest"}):
        raise FileError(f"{path} was changed after it was written (its digest does not fit); {mend}")
    if content["expertgen"] != version("expertgen"):
        raise FileError(f"{path} was written by expertgen {content['expertgen']}, not {version('expertgen')}; {mend}")
    if content["member"] != asdict(member):
        raise FileError(f"{path} is of other settings than the suite's; {mend}")
    return Result(tuple(Point(*point) for point in content["points"]), Origin(**content["origin"]))


def claim(folder: Path, member: Member) -> None:
    """Writes down what a folder is for, before its run begins.

    Raises:
        FileError: if a run of other settings was begun there.
    """
    path = folder / "member.json"
    if not path.exists():
        write_json(path, asdict(member))
    elif read_json(path) != asdict(member):
        raise FileError(f"{path} is of other settings than the suite's; delete {folder}, or start a new suite")


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _log_to(path: Path) -> None:
    """Sends whatever this process prints, and its last words if it crashes, to a file."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", 1, closefd=False), os.fdopen(2, "w", 1, closefd=False)
    faulthandler.enable(sys.stderr)
