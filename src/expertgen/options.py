"""From words to settings: what the command line means, and one line for what it cannot mean."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar, get_type_hints

import tyro

from expertgen.errors import FileError, UsageError
from expertgen.pipeline.settings import RunConfig, Stage, default_settings
from expertgen.presets import preset
from expertgen.runs.config import merged, overlay, read_yaml, unchecked
from expertgen.tasks.registry import get_task

Parsed = TypeVar("Parsed")

EXAMPLE_TASK = "peg-insert-side"


@dataclass(frozen=True)
class RunOptions:
    """Settings come from the preset, then the file, then the flags; later ones win."""

    settings: Annotated[RunConfig, tyro.conf.arg(name="")]
    """How each stage is done."""
    task: Annotated[str | None, tyro.conf.Positional] = None
    """Task id; `expertgen tasks` lists them."""
    preset: str = "default"
    """Named settings to start from: default or debug."""
    config: Path | None = None
    """YAML file with settings, in the form of a run's config.json."""
    out: Path | None = None
    """Run folder to create; by default runs/TASK-SEED."""
    resume: Path | None = None
    """Run folder to continue; needs nothing else."""


@dataclass(frozen=True)
class WholeRunOptions(RunOptions):
    """Options of the verb that does not name the last stage itself."""

    until: Stage | None = None
    """Last stage to do."""


_UNCHECKED = tyro.constructors.ConstructorRegistry()
"""Parses settings without their checks: impossible values are impossible only when all that is given has come in."""


@_UNCHECKED.struct_rule
def _unchecked_settings(info: tyro.constructors.StructTypeInfo) -> tyro.constructors.StructConstructorSpec | None:
    if not is_dataclass(info.type) or issubclass(info.type, RunOptions):
        return None
    hints = get_type_hints(info.type, include_extras=True)
    fields = [tyro.constructors.StructFieldSpec(n, hints[n], value) for n, value in vars(info.default).items()]
    return tyro.constructors.StructConstructorSpec(lambda **values: unchecked(info.type, values), tuple(fields))


def resolve(words: list[str], verb: str, until: Stage | None = None) -> tuple[Path, RunConfig]:
    """Returns the run folder and the settings that the command line means.

    Args:
        words: what follows the verb.
        verb: the verb.
        until: the verb's own last stage; without one, the user may name it.
    """
    # Parsed twice: the first time for preset, file and task, the second time with what they say as the defaults.
    kind = RunOptions if until else WholeRunOptions
    asks_help = not {"-h", "--help"}.isdisjoint(words)
    options = parse(kind, words, verb, kind(RunConfig(EXAMPLE_TASK)), None if asks_help else _UNCHECKED)
    if options.resume is not None:
        return _resumed(options.resume, options.task, words)
    file = read_yaml(options.config) if options.config is not None else {}
    task = options.task or file.get("task")
    if task is None:
        raise UsageError(f"which task? For example: expertgen {verb} {EXAMPLE_TASK}; `expertgen tasks` lists them")
    own = {"task": str(task)}
    if last := until or getattr(options, "until", None):
        own["until"] = last
    changes = merged(preset(options.preset), file, own)
    settings = overlay(default_settings(str(task)), changes, check=False)
    settings = parse(kind, words, verb, replace(options, settings=settings)).settings
    folder = options.out or _free(Path("runs") / f"{get_task(settings.task).id}-{settings.seed}")
    _check_writable(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--out {folder} exists already; choose another, or continue it with --resume {folder}")
    return folder, settings


def _resumed(folder: Path, task: str | None, words: list[str]) -> tuple[Path, RunConfig]:
    if not (folder / "config.json").exists():
        raise FileError(f"--resume {folder}: no config.json there, so it is not a run folder")
    for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
        if flag != "--resume":
            raise UsageError(f"--resume {folder} continues with the settings of that run; leave {flag} out")
    saved = read_yaml(folder / "config.json")
    if task is not None and task != saved.get("task"):
        raise UsageError(f"--resume {folder} is a run of {saved.get('task')!r}, not of {task!r}")
    return folder, overlay(RunConfig(str(saved.get("task"))), saved)


def _free(folder: Path) -> Path:
    """The folder itself, or the first of `folder-2`, `folder-3`, ... that does not exist."""
    names = itertools.chain([folder], (folder.with_name(f"{folder.name}-{n}") for n in itertools.count(2)))
    return next(path for path in names if not path.exists())


def new_file(path: Path) -> Path:
    """Refuses a file that exists or cannot be written; returns its path."""
    _check_writable(path)
    if path.exists():
        raise UsageError(f"{path} exists already; choose another with --out, or delete it")
    return path


def _check_writable(path: Path) -> None:
    """Refuses a place where nothing can be written, before minutes are spent on what is to be written there."""
    folder = next(parent for parent in path.absolute().parents if os.path.exists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {path}: {folder} is not a folder that you may write in; choose another --out")


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
        raise UsageError(f"{said}; see expertgen {verb} --help") from None
