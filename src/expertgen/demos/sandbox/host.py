"""Our side of the sandbox: starts a guest, talks to it with a clock in hand, and says why it ended.

Nothing that a guest does can block this process, make it allocate without bound, or make it fail in another way than
by `GuestDeath`: reads have a known size and a deadline, what is printed is cut off, and what comes back is checked.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

import expertgen
from expertgen.demos.failure import LONGEST_TEXT, Failure, Verdict, printable
from expertgen.demos.sandbox import protocol
from expertgen.demos.sandbox.confine import Confinement
from expertgen.demos.sandbox.limits import Limits, import_paths, readable_paths

_START = "import sys; sys.path += {paths!r}; from expertgen.demos.sandbox.guest import main; main()"
_ENVIRONMENT = {
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "PATH": "",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""All that a program finds in `os.environ`, beside the loader's path where this process needs one."""

_PRINTED_SHOWN = 16384
"""Bytes of what a program prints that are shown."""


class _Printed:
    """What a program prints: shown line by line up to a bound, and counted beyond.

    Args:
        pipe: where it comes from; reading it does not block.
        name: what stands before each line.
    """

    def __init__(self, pipe: int, name: str) -> None:
        self.pipe, self.open, self._name = pipe, True, name
        self._bytes, self._line = 0, b""

    def read(self) -> int:
        """Reads what there is, at most 64 KiB; returns how many bytes have come in all."""
        try:
            text = os.read(self.pipe, 1 << 16)
        except BlockingIOError:
            return self._bytes
        self.open = bool(text)
        *lines, self._line = (self._line + text[: max(0, _PRINTED_SHOWN - self._bytes)]).split(b"\n")
        self._show(lines)
        if self._bytes < _PRINTED_SHOWN <= self._bytes + len(text):
            self._show([self._line, b"(what it prints from here on is left out)"])
            self._line = b""
        self._bytes += len(text)
        return self._bytes

    def end(self) -> None:
        """Shows the last words of a process that has ended."""
        while self.open and self._bytes < _PRINTED_SHOWN:
            before = self._bytes
            if self.read() == before:
                break
        if self._line:
            self._show([self._line])

    def _show(self, lines: list[bytes]) -> None:
        for line in lines:
            print(f"{self._name}: {printable(line.decode(errors='replace'))}", file=sys.stderr)


class GuestDeath(Exception):
    """The guest is gone, with the programs of all environments.

    Attributes:
        failure: why.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Guest:
    """A process in the sandbox. Close it.

    Args:
        source: text of the program; with None the process confines itself, reports and ends.
        name: what the program is called in messages.
        fields: field → columns of an observation, what the program sees.
        action_size: number of action dimensions.
        limits: what it may take.

    Attributes:
        confinement: what confines it.
        refused: why its program cannot be used, or the empty string.

    Raises:
        GuestDeath: if it dies, or does not answer in time.
    """

    def __init__(
        self, source: str | None, name: str, fields: dict[str, slice], action_size: int, limits: Limits
    ) -> None:
        self._name, self._limits, self._action_size = name, limits, action_size
        paths = [str(Path(expertgen.__file__).parents[1]), *import_paths()]
        library_path = {k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-u", "-c", _START.format(paths=paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT | library_path,
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self._pipes = self._process.stdin, self._process.stdout, self._process.stderr
        self._requests, self._replies, printed = (pipe.fileno() for pipe in self._pipes)
        for descriptor in (self._requests, self._replies, printed):
            os.set_blocking(descriptor, False)
        self._printed = _Printed(printed, name)
        start = {
            "source": source,
            "name": name,
            "fields": [(field, columns.start, columns.stop) for field, columns in fields.items()],
            "action_size": action_size,
            "limits": asdict(limits),
            "readable": readable_paths(),
            "parent": os.getpid(),
        }
        try:
            text = json.dumps(start).encode()
            self._send(protocol.LENGTH.pack(len(text)) + text, limits.load_seconds)
            # The file itself has all of the time, and starting an interpreter on a busy machine can take as long.
            (length,) = protocol.LENGTH.unpack(self._receive(protocol.LENGTH.size, 2 * limits.load_seconds + 1))
            if length > protocol.LARGEST_REPORT:
                raise self.kill(Verdict.PROTOCOL, f"it reports {length} bytes")
            report = self._parse(self._receive(length, limits.call_seconds))
        except BaseException:
            self.close()
            raise
        self.confinement, self.refused = report

    def ask(self, kind: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[int, Failure]]:
        """Sends a request and waits for the answer.

        Args:
            kind: RESET or ACT.
            rows: as `protocol.reset_rows` or `protocol.act_rows`, one for each of `n` environments.

        Returns:
            actions float32 `[n, A]` (0 where a program failed), the seconds that each call took `[n]`, together at
            least what the request took, and row → why its program failed.

        Raises:
            GuestDeath: if it dies, says what cannot be, or does not answer in time.
        """
        count, limits = len(rows), self._limits
        patience, asked = 2 * limits.call_seconds + 1, time.monotonic()
        with contextlib.suppress(BlockingIOError):
            if os.read(self._replies, 1):
                raise self.kill(Verdict.PROTOCOL, "it spoke without being asked")
        self._send(protocol.REQUEST.pack(kind, count) + rows.tobytes(), patience)
        answers = protocol.records(count, self._action_size)
        answers = np.frombuffer(self._receive(answers.nbytes, patience, answers.itemsize), answers.dtype)
        waited = time.monotonic() - asked
        status, actions = answers["status"], answers["action"]
        if status.max(initial=0) > len(protocol.VERDICTS) or not np.isfinite(actions).all():
            raise self.kill(Verdict.PROTOCOL, "it answered with what no program can return")
        failures = {}
        for row in np.flatnonzero(status).tolist():
            (length,) = protocol.TEXT_LENGTH.unpack(self._receive(protocol.TEXT_LENGTH.size, patience))
            if length > protocol.LARGEST_TEXT:
                raise self.kill(Verdict.PROTOCOL, f"it gives a reason of {length} bytes")
            text = bytes(self._receive(length, patience)).decode(errors="replace")
            failures[row] = Failure(protocol.VERDICTS[status[row] - 1], text)
        actions = np.where((status == 0)[:, None], actions, np.float32(0.0))
        # Its own clock only divides what ours says.
        seconds = np.nan_to_num(answers["seconds"].astype(np.float64), posinf=0.0, neginf=0.0).clip(0.0, waited)
        return actions, seconds + max(0.0, waited - seconds.sum()) / count, failures

    def kill(self, verdict: Verdict, what: str) -> GuestDeath:
        """Ends the process; returns what is to be raised, with the reason that is given."""
        self.close()
        return GuestDeath(Failure(verdict, f"{self._name}: {what}"))

    def close(self) -> None:
        """Ends the process and waits for it."""
        self._process.kill()
        self._process.wait()
        if not self._pipes[0].closed:
            self._printed.end()
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()

    def _parse(self, text: bytearray) -> tuple[Confinement, str]:
        """Reads the answer to START. It is written after the program ran, so it is not to be trusted either."""
        try:
            report = json.loads(text.decode(errors="replace"))
            applied, missing = (
                {printable(name): printable(why) for name, why in report[table].items()}
                for table in ("applied", "missing")
            )
            return Confinement(applied, missing), printable(report["refused"] or "")[: 2 * LONGEST_TEXT]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise self.kill(Verdict.PROTOCOL, "its report cannot be read") from None

    def _send(self, data: bytes, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._requests, left) :]
            except BlockingIOError:
                self._wait(self._requests, select.POLLOUT, deadline)
            except BrokenPipeError:
                raise self._ended() from None

    def _receive(self, size: int, seconds: float, step: int = 0) -> bytearray:
        """Reads so many bytes. With `step`, the time begins anew whenever so many of them have come."""
        data, deadline = bytearray(), time.monotonic() + seconds
        while len(data) < size:
            try:
                part = os.read(self._replies, min(size - len(data), 1 << 16))
            except BlockingIOError:
                self._wait(self._replies, select.POLLIN, deadline)
                continue
            if not part:
                raise self._ended()
            if step and (len(data) + len(part)) // step > len(data) // step:
                deadline = time.monotonic() + seconds
            data += part
        return data

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        """Waits until a pipe is ready; what the program prints meanwhile is read, so that it does not block."""
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self.kill(Verdict.TIME, "it did not answer in time, and was stopped")
            poll = select.poll()
            poll.register(descriptor, event)
            if self._printed.open:
                poll.register(self._printed.pipe, select.POLLIN)
            ready = {found for found, _ in poll.poll(1000 * left)}
            if self._printed.pipe in ready and self._printed.read() > self._limits.output:
                raise self.kill(Verdict.OUTPUT, f"it printed more than {self._limits.output >> 20} MB")
            if descriptor in ready:
                return

    def _ended(self) -> GuestDeath:
        """Says why the guest has ended, or no longer talks."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return self.kill(Verdict.PROTOCOL, "it closed the connection")
        if code == protocol.OUT_OF_MEMORY:
            return self.kill(Verdict.MEMORY, f"it needs more than {self._limits.memory >> 20} MB")
        if code == -signal.SIGXCPU:
            return self.kill(Verdict.TIME, f"it took more than {self._limits.cpu_seconds} s of processor time")
        ending = f"exit code {code}" if code >= 0 else _signal_name(-code)
        return self.kill(Verdict.CRASH, f"its process ended with {ending}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def examine_confinement() -> Confinement:
    """Confines a process that runs no program, to see what this machine offers."""
    if sys.platform != "linux":
        return Confinement(missing={"seccomp": "this is not Linux"})
    try:
        guest = Guest(None, "sandbox", {"observation": slice(0, 1)}, 1, Limits())
    except GuestDeath as death:
        return Confinement(missing={"seccomp": str(death)})
    guest.close()
    return guest.confinement
