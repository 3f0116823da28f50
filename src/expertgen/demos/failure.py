"""Why the program of an episode could not go on: a verdict, and a line that names the place."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from expertgen.errors import UsageError

LONGEST_TEXT = 400
"""Characters of a failure that are kept; a program can raise an error with a text of any length."""


class Verdict(Enum):
    """What kind of failure ended an episode."""

    ERROR = "error"
    ACTION = "wrong action"
    FORBIDDEN = "forbidden"
    TIME = "time limit"
    MEMORY = "memory limit"
    OUTPUT = "output limit"
    CRASH = "crash"
    PROTOCOL = "broken protocol"


@dataclass(frozen=True)
class Failure:
    """Why a program could not go on.

    Attributes:
        verdict: what kind of failure it is.
        text: one printable line that says what happened, and where.
    """

    verdict: Verdict
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", printable(" ".join(self.text.split()))[:LONGEST_TEXT])

    def __str__(self) -> str:
        plain = self.verdict in (Verdict.ERROR, Verdict.ACTION)
        return self.text if plain else f"{self.verdict.value}: {self.text}"


def printable(text: str) -> str:
    """Leaves out of words that a program chose whatever could steer a terminal, or end a string in a file."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class ProgramError(UsageError):
    """The program of one episode failed; others may go on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def verdict_of(error: BaseException) -> Verdict:
    """The kind of failure that an exception of a program is."""
    if isinstance(error, MemoryError):
        return Verdict.MEMORY
    if isinstance(error, OSError) and error.errno in (errno.EPERM, errno.EACCES, errno.EROFS):
        return Verdict.FORBIDDEN
    return Verdict.ERROR


def counted(failures: Iterable[str], most: int = 5) -> str:
    """The most frequent failures on one line, e.g. `"3 times 'pick.py, line 7: KeyError: 3'"`."""
    count = Counter(failures)
    shown = [f"{times} times {text!r}" for text, times in count.most_common(most)]
    if len(count) > most:
        shown.append(f"{len(count) - most} other reasons")
    return ", ".join(shown)
