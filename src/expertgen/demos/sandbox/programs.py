"""The programs of all environments, in the sandbox: what `collect` asks instead of programs in its own process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from expertgen.demos.failure import Failure, Verdict
from expertgen.demos.program import read_source, visible_fields
from expertgen.demos.sandbox import protocol
from expertgen.demos.sandbox.host import Guest, GuestDeath
from expertgen.demos.sandbox.limits import Limits
from expertgen.errors import FileError, UsageError
from expertgen.tasks.spec import TaskSpec


class SandboxedPrograms:
    """Programs from a file that is not trusted, one for each environment, all of them in one confined process.

    A program that fails ends its own episode. One that cannot be interrupted, or brings its process down, takes the
    running episodes of all environments along; a new process goes on with the next ones, a few times.

    Use it in a `with` statement, or close it. The process ends with the thread that made it, too.

    Args:
        path: the file.
        task: what it is to demonstrate.
        limits: what it may take.

    Raises:
        FileError: if the file is missing, or its text is no fitting program, or does not load within its limits.
        UsageError: if this machine cannot confine a process.
    """

    def __init__(self, path: Path, task: TaskSpec, limits: Limits | None = None) -> None:
        if sys.platform != "linux":
            raise UsageError(f"{path} cannot be confined here (this is not Linux); {_MEND}")
        self._source, self._path, self._task = read_source(path), path, task
        self._limits = limits or Limits()
        self._deaths = 0
        self._seconds: dict[int, float] = {}  # environment with a running episode → what its calls have taken
        self._last: Failure | None = None
        self._guest: Guest | None = None
        try:
            self._guest = self._start()
        except GuestDeath as death:
            raise FileError(str(death)) from None

    def reset(self, ids: np.ndarray, seeds: Sequence[int]) -> dict[int, Failure]:
        """As `ProgramBatch.reset`."""
        rows = protocol.reset_rows(len(ids))
        rows["id"], rows["seed"] = ids, seeds
        for i in ids.tolist():
            self._seconds[i] = 0.0
        return self._ask(protocol.RESET, rows)[1]

    def act(self, observation: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, dict[int, Failure]]:
        """As `ProgramBatch.act`."""
        actions, failures = np.zeros((len(ids), self._task.action_size), np.float32), {}
        here = np.array([i in self._seconds for i in ids.tolist()], bool)
        for i in ids[~here].tolist():
            failures[i] = self._last or Failure(Verdict.ERROR, f"{self._path}: its episode has not begun")
        rows = protocol.act_rows(int(here.sum()), self._task.observation_size)
        rows["id"], rows["observation"] = ids[here], observation[here]
        actions[here], more = self._ask(protocol.ACT, rows)
        return actions, failures | more

    def close(self) -> None:
        """Ends the process."""
        if self._guest:
            self._guest.close()
            self._guest = None

    def __enter__(self) -> SandboxedPrograms:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, kind: int, rows: np.ndarray) -> tuple[np.ndarray, dict[int, Failure]]:
        """Actions `[n, A]` and environment → failure, whatever becomes of the process."""
        ids = rows["id"].tolist()
        nothing = np.zeros((len(ids), self._task.action_size), np.float32)
        if not ids:
            return nothing, {}
        try:
            if self._guest is None:
                if self._last and self._deaths >= self._limits.deaths:
                    raise GuestDeath(self._last)
                try:
                    self._guest = self._start()
                except FileError as error:  # it was fine the first time
                    raise GuestDeath(Failure(Verdict.ERROR, str(error))) from None
            actions, seconds, failures = self._guest.ask(kind, rows)
            self._charge(ids, seconds)
        except GuestDeath as death:
            self.close()
            self._deaths += 1
            self._last = death.failure
            self._seconds.clear()
            return nothing, dict.fromkeys(ids, death.failure)
        for row in failures:
            self._seconds.pop(ids[row], None)
        return actions, {ids[row]: failure for row, failure in failures.items()}

    def _charge(self, ids: list[int], seconds: np.ndarray) -> None:
        """Adds what the calls took to the episodes' accounts; the guest ends where one is overdrawn."""
        for i, taken in zip(ids, seconds.tolist(), strict=True):
            self._seconds[i] += taken
            if self._seconds[i] > self._limits.episode_seconds and self._guest:
                text = f"an episode took more than {self._limits.episode_seconds:g} s"
                raise self._guest.kill(Verdict.TIME, text)

    def _start(self) -> Guest:
        fields, limits = visible_fields(self._task), self._limits
        guest = Guest(self._source, str(self._path), fields, self._task.action_size, limits)
        if lacking := guest.confinement.lacking:
            guest.close()
            raise UsageError(f"{self._path} cannot be confined here ({lacking}); {_MEND}")
        if guest.refused:
            guest.close()
            raise FileError(guest.refused)
        return guest


_MEND = "to run it with your own rights, which only a program that you trust should have, add --no-sandbox"
