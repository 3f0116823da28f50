"""What all verbs share: words become options, what is wrong becomes one line, and places are checked before work."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import tyro
from rich.console import Console
from rich.table import Table

from expertgen.errors import UsageError

Parsed = TypeVar("Parsed")
CONSOLE = Console()


def parse(
    kind: type[Parsed],
    words: list[str],
    verb: str,
    default: Parsed | None = None,
    registry: tyro.constructors.ConstructorRegistry | None = None,
) -> Parsed:
    """Parses a verb's words; what tyro would say in a box becomes one line."""
    text = io.StringIO()
    try:
        with contextlib.redirect_stderr(text):
            if default is None:
                return tyro.cli(kind, args=words, prog=f"expertgen {verb}")
            return tyro.cli(kind, args=words, prog=f"expertgen {verb}", default=default, registry=registry)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        lines = [line.strip(" │╭╰─╮╯") for line in text.getvalue().splitlines()]
        lines = [line for line in lines if line.strip("-")]  # without rules, which are hyphens where there is no UTF-8
        # The first line of the box is its title; behind the message comes where to find help.
        ends = ("Argument helptext", "For full helptext")
        said = " ".join(itertools.takewhile(lambda line: not line.startswith(ends), lines[1:]))
        said = said.partition(". Got errors:")[0]  # of each type that was tried
        raise UsageError(f"{said}; see expertgen {verb} --help") from None


def free(folder: Path) -> Path:
    """The folder itself, or the first of `folder-2`, `folder-3`, ... that does not exist."""
    names = itertools.chain([folder], (folder.with_name(f"{folder.name}-{n}") for n in itertools.count(2)))
    return next(path for path in names if not path.exists())


def new_file(path: Path) -> Path:
    """The path itself, if a file can be written there and there is none yet."""
    check_writable(path)
    if path.exists():
        raise UsageError(f"{path} exists already; choose another with --out, or delete it")
    return path


def new_folder(path: Path) -> Path:
    """The path itself, if a folder can be made there and nothing is in it yet."""
    check_writable(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"--out {path} exists already; choose another, or continue it with --resume {path}")
    return path


def check_writable(path: Path) -> None:
    """Refuses a place where nothing can be written, before minutes are spent on what is to be written there."""
    folder = next(parent for parent in path.absolute().parents if os.path.exists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {path}: {folder} is not a folder that you may write in; choose another --out")


def listed(command: str, verbs: Mapping[str, Callable[[list[str]], None]], title: str | None = None) -> Table:
    """A table of verbs and what they do."""
    table = Table(command, "", title=title, title_justify="left")
    for name, verb in verbs.items():
        table.add_row(name, (verb.__doc__ or "").strip())
    return table
