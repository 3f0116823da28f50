"""The pool: members of a suite in processes of their own, one a core, until all are done or have failed."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

from expertgen.errors import FileError, UsageError
from expertgen.runs.files import read_json, write_json
from expertgen.runs.machine import available_cores, machine_description, package_versions
from expertgen.runs.progress import StageProgress
from expertgen.suite.kinds import KINDS
from expertgen.suite.member import claim, read_result, work
from expertgen.suite.plan import Member, Suite, members, suite_from
from expertgen.suite.table import Origin, Point, check_points, write_table

# Members fork from a server that has imported everything and does nothing else: importing torch takes seconds, which
# each process would otherwise spend anew. The server dies with the suite, and its children, the members, with it.
CONTEXT: Any = multiprocessing.get_context("forkserver")

_TICK = 1.0
"""Seconds between two looks at a suite in which nothing happens."""

State = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True)
class Standing:
    """Where a member stands.

    Attributes:
        member: which one.
        state: `"waiting"`, `"running"`, `"done"` or `"failed"`.
        progress: of a running one, once it has reported any.
        points: what a finished one measured.
        origin: what a finished one was made by.
        error: why a failed one failed, in a line.
        seconds: how long it has been running, or ran, in this session [s].
    """

    member: Member
    state: State = "waiting"
    progress: StageProgress | None = None
    points: tuple[Point, ...] = ()
    origin: Origin | None = None
    error: str = ""
    seconds: float = 0.0

    @property
    def final(self) -> Point:
        """The value of a finished member."""
        return check_points(self.points)


Standings = dict[str, Standing]
"""Every member by name, in the order in which they are started."""


@dataclass
class _Job:
    """A member under way."""

    process: Any
    pipe: Connection
    core: int | None
    started: float
    error: str = ""


def member_folder(folder: Path, member: Member) -> Path:
    """The folder of a member within its suite's."""
    return folder / "members" / str(member)


def read_suite(folder: Path) -> Suite:
    """Reads the suite that a folder holds.

    Raises:
        FileError: if it holds none.
    """
    if not (folder / "suite.json").exists():
        raise FileError(f"{folder}: no suite.json there, so it is not the folder of a suite")
    value = read_json(folder / "suite.json")
    if not isinstance(value, dict) or not isinstance(value.get("suite"), dict):
        raise FileError(f"{folder / 'suite.json'} is not what a suite wrote; start a new one")
    return suite_from(value["suite"], str(folder / "suite.json"))


def read_standings(folder: Path, suite: Suite) -> Standings:
    """What has been done so far of a suite, according to its folder.

    Raises:
        FileError: naming a result that was changed by hand, or is of another version or of other settings.
    """
    standings = {}
    for member in members(suite):
        place = member_folder(folder, member)
        result = read_result(place / "result.json", member)
        if result is not None:
            standings[str(member)] = Standing(member, "done", points=result.points, origin=result.origin)
        elif (place / "failure.json").exists():
            standings[str(member)] = Standing(member, "failed", error=read_json(place / "failure.json")["error"])
        else:
            standings[str(member)] = Standing(member)
    return standings


def check_workers(workers: int | None) -> int:
    """How many members run at a time: by default one a core.

    Raises:
        UsageError: if there are not that many cores.
    """
    cores = available_cores()
    if workers is not None and not 1 <= workers <= cores:
        raise UsageError(f"--workers must be 1 to {cores}, not {workers}: each has a core to itself")
    return workers or cores


def run_suite(suite: Suite, folder: Path, workers: int, command: str) -> Generator[Standings, None, Standings]:
    """Does all members of a suite, or those that are left; failed ones are tried again.

    However this ends, `results.csv` then holds whatever members have finished.

    Args:
        suite: what is compared.
        folder: the suite's folder; created if need be.
        workers: members at a time, each on a core of its own.
        command: what the user typed, for the record.

    Yields:
        where all members stand: whenever that has changed, and every second.

    Returns:
        where they stand in the end: done or failed.

    Raises:
        UsageError: if another process is at work in the folder, or its results are not those of this suite.
    """
    standings = read_standings(folder, suite)
    for name, standing in standings.items():
        if standing.state == "failed":
            standings[name] = Standing(standing.member)
    with _lock(folder):
        if not (folder / "suite.json").exists():
            about = {"command": command, "machine": machine_description(), "versions": package_versions()}
            write_json(folder / "suite.json", {"suite": suite.to_json()} | about)
        yield from _Pool(folder, standings, workers).run()
    return standings


class _Pool:
    """Members under way, and cores that are free."""

    def __init__(self, folder: Path, standings: Standings, workers: int) -> None:
        CONTEXT.set_forkserver_preload(["expertgen.suite.server"])
        self.folder, self.standings = folder, standings
        pinned = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None] * workers
        self.cores: list[int | None] = list(pinned[:workers])
        self.jobs: dict[str, _Job] = {}

    def run(self) -> Generator[Standings, None, None]:
        """Starts members while there are free cores, listens to them, and notes how they end."""
        waiting = [name for name, standing in self.standings.items() if standing.state == "waiting"]
        for name in waiting:
            claim(member_folder(self.folder, self.standings[name].member), self.standings[name].member)
        try:
            while waiting or self.jobs:
                while waiting and self.cores:
                    self._start(waiting.pop(0))
                yield self.standings
                wait([c for job in self.jobs.values() for c in (job.pipe, job.process.sentinel)], _TICK)
                for name, job in list(self.jobs.items()):
                    self._listen(name, job)
        finally:
            for job in self.jobs.values():
                job.process.kill()
            for job in self.jobs.values():
                job.process.join()
            self._write_table()
        yield self.standings

    def _start(self, name: str) -> None:
        member, core = self.standings[name].member, self.cores.pop(0)
        place = member_folder(self.folder, member)
        (place / "failure.json").unlink(missing_ok=True)
        ours, theirs = CONTEXT.Pipe(duplex=False)
        told = (KINDS[member.kind], member, place, self.folder / "common", core, theirs)
        process = CONTEXT.Process(target=work, args=told, name=name)
        process.start()
        theirs.close()
        self.jobs[name] = _Job(process, ours, core, time.monotonic())
        self.standings[name] = Standing(member, "running")

    def _listen(self, name: str, job: _Job) -> None:
        ended, standing = not job.process.is_alive(), self.standings[name]
        seconds = time.monotonic() - job.started
        try:
            while job.pipe.poll():
                said = job.pipe.recv()
                if isinstance(said, StageProgress):
                    standing = replace(standing, progress=said)
                else:
                    job.error = said
        except EOFError:
            job.process.join()
            ended = True
        self.standings[name] = replace(standing, seconds=seconds)
        if ended:
            self._end(name, job, seconds)

    def _end(self, name: str, job: _Job, seconds: float) -> None:
        del self.jobs[name]
        self.cores.append(job.core)
        job.pipe.close()
        member = self.standings[name].member
        place = member_folder(self.folder, member)
        result = read_result(place / "result.json", member)
        if result is not None:
            done = Standing(member, "done", points=result.points, origin=result.origin, seconds=seconds)
            self.standings[name] = done
            self._write_table()
            return
        error = " ".join(job.error.split()) or _how_it_ended(job.process.exitcode)
        write_json(place / "failure.json", {"error": error, "log": "log.txt", "exit_code": job.process.exitcode})
        self.standings[name] = Standing(member, "failed", error=error, seconds=seconds)

    def _write_table(self) -> None:
        rows = [
            ((s.member.task, s.member.method, str(s.member.seed)), s.origin, s.points)
            for s in self.standings.values()
            if s.origin
        ]
        write_table(self.folder / "results.csv", rows)


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        hint = "; perhaps memory ran out" if -code == signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-code).name}{hint}"
    return f"its process ended with exit code {code} and no result"


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keeps a second suite out of a folder; the system lets go of it when this process ends, however that happens."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another process is at work in {folder}; wait for it, or stop it first") from None
        yield
