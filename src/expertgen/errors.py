"""The errors a user can cause: one line that names the thing and the mend, and an exit code."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable


class ExpertgenError(Exception):
    """An error whose message is written for the user: one line, printed without a traceback."""

    exit_code = 1


class UsageError(ExpertgenError):
    """Wrong input (a name, a value, a file): refused before any work starts, nothing written."""

    exit_code = 2


class FileError(UsageError):
    """A file that cannot be used: missing, truncated, of another kind, version or shape."""


class TrainingError(ExpertgenError):
    """Work that had to stop: a loss that is not finite, a full disk. The run can be resumed unless the text says no."""


def warn(text: str) -> None:
    """Prints a line that the user should know, but need not act on before work goes on."""
    print(f"expertgen: warning: {text}", file=sys.stderr)


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Returns the end of a refusal, `"; did you mean 'a' or 'b'?"`, or the empty string if nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
