"""From words to the settings of a run: preset, file and flags, checked when all of them have come in."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Annotated, get_type_hints

import tyro

from expertgen.cli.parsing import check_writable, free, parse
from expertgen.errors import FileError, UsageError
from expertgen.pipeline.settings import RunConfig, Stage, default_settings
from expertgen.presets import preset
from expertgen.runs.config import merged, overlay, read_yaml, unchecked
from expertgen.tasks.registry import get_task

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
    folder = options.out or free(Path("runs") / f"{get_task(settings.task).id}-{settings.seed}")
    check_writable(folder)
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
