"""Work that is killed again and again until it is done: what comes of it must equal what comes of a whole run."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from expertgen.runs.machine import prepare_process

# Importing torch's compiler, which the first optimizer does, would take each child a second.
# Children fork from a server that has imported everything, but never computed a gradient: torch forbids to fork after.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["pytest", "torch._dynamo", "metaworld", "envpool", "tests.toys", "expertgen.pipeline.run"]
)

Work = Callable[[Path], None]
"""A function of a test module that does, or continues, some work in a folder."""


def finish(work: Work, folder: Path) -> float:
    """Does the work undisturbed; returns its seconds."""
    assert _run(_nothing, folder) == 0  # the server is up
    start = time.monotonic()
    assert _run(work, folder) == 0
    return time.monotonic() - start


def finish_killed_at_random_times(work: Work, folder: Path, seconds: float, seed: int) -> int:
    """Kills the work after random shares of the `seconds` that it takes, until it is done. Returns the kills."""
    draw = random.Random(seed)
    for kills in range(100):
        # Longer and longer: killed at least once, and yet done in the end, however busy the machine is now and then.
        if _run(work, folder, patience=draw.uniform(0, 0.1 + 0.2 * kills) * seconds) == 0:
            return kills
    raise AssertionError("never finished")


def finish_killed_at_file_operations(work: Work, folder: Path, seed: int, operations: int = 30) -> int:
    """Lets the work kill itself just before a random one of its first `operations` file operations in `folder`, each
    time of a tenth more of them, until it is done. Returns the kills."""
    draw = random.Random(seed)
    for kills in range(1000):
        if _run(work, folder, fatal_operation=draw.randint(1, operations + kills * operations // 10)) == 0:
            return kills
    raise AssertionError("never finished")


def finish_killed(work: Work, folder: Path, seconds: float, moment: str, seed: int) -> None:
    """Kills the work at random times (`moment` "time") or file operations ("file"), at least once, until it is done."""
    if moment == "time":
        kills = finish_killed_at_random_times(work, folder, seconds, seed)
    else:
        kills = finish_killed_at_file_operations(work, folder, seed)
    assert kills >= 1


def _nothing(folder: Path) -> None:
    pass


def _run(work: Work, folder: Path, patience: float | None = None, fatal_operation: int | None = None) -> int:
    """Runs the work in a child for `patience` seconds at most; returns 0 if it got done."""
    process = _CONTEXT.Process(target=_child, args=(work, folder, fatal_operation))
    process.start()
    process.join(patience)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), "the work failed by itself"
    return process.exitcode


def _child(work: Work, folder: Path, fatal_operation: int | None) -> None:
    prepare_process()
    left = fatal_operation

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("open", "os.mkdir", "os.rename", "os.remove") and str(folder) in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    if left is not None:
        sys.addaudithook(count)
    work(folder)
