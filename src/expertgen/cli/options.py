"""From words to the settings of a run: preset, file and flags, checked when all of them have come in."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

from expertgen.cli.parsing import Parsed, free, new_folder, parse
from expertgen.errors import FileError, UsageError
from expertgen.pipeline.settings import RunConfig, Stage, default_settings
from expertgen.presets import preset
from expertgen.runs.config import checked, merged, overlay, read_yaml, unchecked
from expertgen.tasks.registry import get_task

EXAMPLE_TASK = "peg-insert-side"


@dataclass(frozen=True)
class SettingsOptions:
    """What the verbs that start or continue a run have in common."""

    settings: Any
    """How everything is done."""
    task: Annotated[str | None, tyro.conf.Positional] = None
    """Task id; `expertgen tasks` lists them."""
    config: Path | None = None
    """YAML file with settings, in the form of a run's config.json."""
    out: Path | None = None
    """Run folder to create; by default named after the run, in runs/."""
    resume: Path | None = None
    """Run folder to continue; needs nothing else."""


@dataclass(frozen=True)
class RunOptions(SettingsOptions):
    """Settings come from the preset, then the file, then the flags; later ones win."""

    settings: Annotated[RunConfig, tyro.conf.arg(name="")]
    """How each stage is done."""
    preset: str = "default"
    """Named settings to start from: default or debug."""


@dataclass(frozen=True)
class WholeRunOptions(RunOptions):
    """Options of the verb that does not name the last stage itself."""

    until: Stage | None = None
    """Last stage to do."""


_Options = TypeVar("_Options", bound=SettingsOptions)

_UNCHECKED = tyro.constructors.ConstructorRegistry()
"""Parses settings without their checks: impossible values are impossible only when all that is given has come in."""


@_UNCHECKED.struct_rule
def _unchecked_settings(info: tyro.constructors.StructTypeInfo) -> tyro.constructors.StructConstructorSpec | None:
    if not is_dataclass(info.type) or issubclass(info.type, SettingsOptions):
        return None
    hints = get_type_hints(info.type, include_extras=True)
    fields = [tyro.constructors.StructFieldSpec(n, hints[n], value) for n, value in vars(info.default).items()]
    return tyro.constructors.StructConstructorSpec(lambda **values: unchecked(info.type, values), tuple(fields))


def parse_unchecked(kind: type[_Options], words: list[str], verb: str, example: Any) -> _Options:
    """Parses for the first time, to learn preset, file and task: settings are those of an example, and not checked.

    Args:
        kind: the verb's options.
        words: what follows the verb.
        verb: the verb.
        example: settings of any task.
    """
    asks_help = not {"-h", "--help"}.isdisjoint(words)
    return parse(kind, words, verb, kind(example), None if asks_help else _UNCHECKED)


def parse_with(options: SettingsOptions, settings: Parsed, words: list[str], verb: str) -> Parsed:
    """Parses for the second time, with what preset and file say as the defaults; returns settings that are checked."""
    return checked(parse(type(options), words, verb, replace(options, settings=settings), _UNCHECKED).settings)


def saved_settings(folder: Path, task: str | None, words: list[str]) -> dict[str, Any]:
    """The settings that the run in a folder was started with; a different task or other flags are refused."""
    if not (folder / "config.json").exists():
        raise FileError(f"--resume {folder}: no config.json there, so it is not a run folder")
    for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
        if flag != "--resume":
            raise UsageError(f"--resume {folder} continues with the settings of that run; leave {flag} out")
    saved = read_yaml(folder / "config.json")
    if task is not None and task != saved.get("task"):
        raise UsageError(f"--resume {folder} is a run of {saved.get('task')!r}, not of {task!r}")
    return saved


def resolve(words: list[str], verb: str, until: Stage | None = None) -> tuple[Path, RunConfig]:
    """Returns the run folder and the settings that the command line means.

    Args:
        words: what follows the verb.
        verb: the verb.
        until: the verb's own last stage; without one, the user may name it.
    """
    # Parsed twice: the first time for preset, file and task, the second time with what they say as the defaults.
    kind = RunOptions if until else WholeRunOptions
    options = parse_unchecked(kind, words, verb, RunConfig(EXAMPLE_TASK))
    if options.resume is not None:
        saved = saved_settings(options.resume, options.task, words)
        return options.resume, overlay(RunConfig(str(saved.get("task"))), saved)
    file = read_yaml(options.config) if options.config is not None else {}
    task = options.task or file.get("task")
    if task is None:
        raise UsageError(f"which task? For example: expertgen {verb} {EXAMPLE_TASK}; `expertgen tasks` lists them")
    own = {"task": str(task)}
    if last := until or getattr(options, "until", None):
        own["until"] = last
    changes = merged(preset(options.preset), file, own)
    settings = overlay(default_settings(str(task)), changes, check=False)
    settings = parse_with(options, settings, words, verb)
    return new_folder(options.out or free(Path("runs") / f"{get_task(settings.task).id}-{settings.seed}")), settings
