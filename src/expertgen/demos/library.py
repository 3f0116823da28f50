"""The demonstration programs that come with the package, by name: `"push/around"`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from expertgen.errors import FileError, nearest

PROGRAMS = Path(__file__).with_name("programs")
"""Folder of the shipped programs; a folder for each task."""


@cache
def shipped_programs() -> dict[str, Path]:
    """Returns name → file of every shipped program, by task and name."""
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(PROGRAMS.glob("*/*.py"))}


def program_file(name: Path) -> Path:
    """Returns the file that a user means: one of their own, or else the shipped program of that name.

    Raises:
        FileError: if there is neither.
    """
    if name.is_file():
        return name
    shipped = shipped_programs()
    if str(name) in shipped:
        return shipped[str(name)]
    raise FileError(f"program: {name} does not exist{nearest(str(name), shipped)}")
