"""Verbs of demonstrations: collect, import, show."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from expertgen.cli.parsing import CONSOLE, new_file, parse
from expertgen.demos.collect import CollectConfig
from expertgen.demos.describe import describe
from expertgen.demos.store import DemoSet
from expertgen.errors import UsageError
from expertgen.pipeline.inputs import collect_demos, read_demos
from expertgen.pipeline.settings import RunConfig, default_settings
from expertgen.runs.progress import follow
from expertgen.tasks.registry import get_task, task_names


def demos_verb(words: list[str]) -> None:
    """Collect, import or show demonstrations."""
    actions = {"collect": _demos_collect, "import": _demos_import, "show": _demos_show}
    if not words or words[0] not in actions:
        raise UsageError("expertgen demos takes one of: collect TASK, import TASK FILE, show FILE")
    actions[words[0]](words[1:])


def _demos_collect(words: list[str]) -> None:
    @dataclass(frozen=True)
    class Collect:
        task: Annotated[str, tyro.conf.Positional]
        """Task id."""
        out: Path | None = None
        """File to write; by default demos/TASK.h5."""
        program: Path | None = None
        """Demonstration program to run instead of the task's scripted demonstrator."""
        seed: int = 0
        """Seed of everything random."""
        settings: Annotated[CollectConfig, tyro.conf.arg(name="")] = field(default_factory=CollectConfig)
        """How they are collected."""

    # Parsed twice: the first time for the task, the second time with its own imperfections as the defaults.
    options = parse(Collect, words, "demos collect")
    options = replace(options, settings=default_settings(options.task).demos)
    options = parse(Collect, words, "demos collect", options)
    path = new_file(options.out or Path("demos") / f"{get_task(options.task).id}.h5")
    config = RunConfig(options.task, seed=options.seed, program=options.program, demos=options.settings)
    follow(collect_demos(get_task(options.task), config), CONSOLE).save(path)
    _demos_show([str(path)])


def _demos_import(words: list[str]) -> None:
    @dataclass(frozen=True)
    class Import:
        task: Annotated[str, tyro.conf.Positional]
        """Task id."""
        file: Annotated[Path, tyro.conf.Positional]
        """Demonstrations: npz, or robomimic HDF5."""
        out: Path | None = None
        """File to write; by default demos/TASK.h5."""
        skip_broken: bool = False
        """Leave broken episodes out instead of refusing the file."""
        clip: bool = True
        """Clip actions slightly out of range to [-1, 1], or refuse them."""

    options = parse(Import, words, "demos import")
    task = get_task(options.task)
    path = new_file(options.out or Path("demos") / f"{task.id}.h5")
    demos = read_demos(options.file, task, options.skip_broken, options.clip)
    demos.save(path)
    for note in demos.notes:
        CONSOLE.print(note)
    _demos_show([str(path)])


def _demos_show(words: list[str]) -> None:
    @dataclass(frozen=True)
    class Show:
        file: Annotated[Path, tyro.conf.Positional]
        """Demonstrations, as expertgen wrote them."""
        skip_broken: bool = False
        """Leave broken episodes out instead of refusing the file."""

    options = parse(Show, words, "demos show")
    demos = DemoSet.load(options.file, options.skip_broken)
    task = get_task(demos.task) if demos.task in task_names() else None
    CONSOLE.print(describe(demos, task))
    CONSOLE.print(f"file     {options.file}")
