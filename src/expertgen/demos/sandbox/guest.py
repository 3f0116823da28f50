"""What runs inside the sandbox: it confines itself, then runs the program of every environment on request.

    python -I -S -c "import sys; sys.path += [...]; from expertgen.demos.sandbox.guest import main; main()"

Only the standard library and NumPy are imported. After `confine` nothing in here is trusted any more: the program
shares this process, and may do to it whatever Python allows.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from expertgen.demos.failure import LONGEST_TEXT, Failure, ProgramError, Verdict, verdict_of
from expertgen.demos.program import MakeProgram, Program, program_from_source
from expertgen.demos.sandbox import protocol
from expertgen.demos.sandbox.confine import confine
from expertgen.demos.sandbox.limits import Limits
from expertgen.errors import UsageError


class CallTimeout(BaseException):
    """A call took longer than it may. No `Exception`, so that programs do not catch it by the way."""


def main() -> None:
    """Runs until the requests end."""
    # Whatever the program prints goes to the third pipe; the other two are out of its way, though not out of its reach.
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    try:
        (length,) = protocol.LENGTH.unpack(requests.read(protocol.LENGTH.size))
        start = json.loads(requests.read(length))
        limits = Limits(**start["limits"])
        confinement = confine(start["readable"], limits, start["parent"])
        report: dict[str, Any] = asdict(confinement) | {"refused": None}
        source = start["source"]
        programs = None
        if source is not None and not confinement.lacking:
            try:
                programs = Programs(source, Path(start["name"]), start["fields"], start["action_size"], limits)
            except ProgramError as error:
                report["refused"] = str(error.failure)
        text = json.dumps(report).encode()
        _write(replies, protocol.LENGTH.pack(len(text)) + text)
        if programs is not None:
            programs.serve(requests.read, replies)
    except MemoryError:
        os._exit(protocol.OUT_OF_MEMORY)


class Programs:
    """The programs of all environments. They are made when their first episode begins.

    Args:
        source: text of the program.
        path: what it is called.
        fields: name, first column and one past the last column of what it sees.
        action_size: number of action dimensions.
        limits: what it may take.

    Raises:
        ProgramError: if the text is no program.
    """

    def __init__(self, source: str, path: Path, fields: list[Any], action_size: int, limits: Limits) -> None:
        self._fields = {name: slice(start, stop) for name, start, stop in fields}
        self._observation_size = max(stop for _, _, stop in fields)
        self._action_size = action_size
        self._path, self._limits = path, limits
        self._programs: dict[int, Program] = {}
        self._busy = False
        signal.signal(signal.SIGALRM, self._interrupt)
        make, failure = self._call(limits.load_seconds, "loading", program_from_source, source, path, action_size)
        if failure:
            raise ProgramError(failure)
        self._make: MakeProgram = make

    def serve(self, read: Callable[[int], bytes], replies: int) -> None:
        """Answers requests until they end."""
        while header := read(protocol.REQUEST.size):
            kind, count = protocol.REQUEST.unpack(header)
            if kind == protocol.RESET:
                rows = protocol.reset_rows(count)
            else:
                rows = protocol.act_rows(count, self._observation_size)
            rows = np.frombuffer(read(rows.nbytes), rows.dtype)  # of bytes, so a program cannot write to it
            answers, texts = protocol.records(count, self._action_size), []
            flushed, flush_time = 0, time.monotonic()
            for i, row in enumerate(rows):
                start = time.monotonic()
                action, failure = self._answer(kind, row)
                now = time.monotonic()
                if failure is None:
                    answers[i] = (0, now - start, action)
                else:
                    answers[i] = (1 + protocol.VERDICTS.index(failure.verdict), now - start, 0.0)
                    texts.append(failure.text.encode(errors="replace")[: protocol.LARGEST_TEXT])
                if now - flush_time > protocol.FLUSH_SECONDS:
                    _write(replies, answers[flushed : i + 1].tobytes())
                    flushed, flush_time = i + 1, now
            tail = b"".join(protocol.TEXT_LENGTH.pack(len(text)) + text for text in texts)
            _write(replies, answers[flushed:].tobytes() + tail)

    def _answer(self, kind: int, row: Any) -> tuple[Any, Failure | None]:
        i = int(row["id"])
        if kind == protocol.RESET:
            _, failure = self._call(self._limits.call_seconds, "reset", self._reset, i, int(row["seed"]))
            return 0.0, failure
        observation = row["observation"]
        fields = {name: observation[columns] for name, columns in self._fields.items()}
        return self._call(self._limits.call_seconds, "act", self._programs[i].act, fields)

    def _reset(self, i: int, seed: int) -> None:
        if i not in self._programs:
            self._programs[i] = self._make()
        self._programs[i].reset(seed)

    def _call(self, seconds: float, name: str, function: Callable[..., Any], *args: Any) -> tuple[Any, Failure | None]:
        """Calls a program; returns what it returned, or why it failed."""
        try:
            self._busy = True
            # Again and again, for programs that catch it after all.
            signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
            try:
                return function(*args), None
            finally:
                self._busy = False
                signal.setitimer(signal.ITIMER_REAL, 0.0)
        except CallTimeout:
            return None, Failure(Verdict.TIME, f"{self._path}: {name} took longer than {seconds:g} s")
        except ProgramError as error:
            return None, error.failure
        except UsageError as error:
            return None, Failure(Verdict.ERROR, str(error))
        except BaseException as error:  # a program may raise anything
            text = f"{self._path}: {type(error).__name__}: {str(error)[:LONGEST_TEXT]}"
            return None, Failure(verdict_of(error), text)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._busy:
            raise CallTimeout


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
