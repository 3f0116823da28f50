"""Verbs of demonstrations: collect, import and export, show, calibrate; `mixing` has those that mix them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from expertgen.cli.mixing import MIXING, known_task, show_demos
from expertgen.cli.parsing import CONSOLE, listed, new_file, new_folder, parse
from expertgen.demos.collect import CollectConfig
from expertgen.demos.exchange import export_demos, find_format, import_demos
from expertgen.demos.mix import with_origins
from expertgen.demos.store import DemoSet, is_demoset
from expertgen.errors import UsageError
from expertgen.pipeline.inputs import collect_demos
from expertgen.pipeline.settings import RunConfig, default_settings
from expertgen.runs.progress import follow
from expertgen.tasks.metaworld_specs import metaworld_tasks
from expertgen.tasks.registry import get_task


def demos_verb(words: list[str]) -> None:
    """Collect, import, show, compare and mix demonstrations, or calibrate who demonstrates."""
    actions = {
        "collect": _demos_collect,
        "import": _demos_import,
        "export": _demos_export,
        "show": _demos_show,
        **MIXING,
        "calibrate": _demos_calibrate,
    }
    if words and words[0] in ("-h", "--help"):
        CONSOLE.print(listed("expertgen demos", actions))
    elif words and words[0] in actions:
        actions[words[0]](words[1:])
    else:
        raise UsageError(
            "expertgen demos takes one of: collect TASK, import TASK FILE, export FILE, show FILE, "
            f"{', '.join(MIXING)}, calibrate"
        )


def _demos_collect(words: list[str]) -> None:
    """Let a program demonstrate a task."""

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
    task = get_task(options.task)
    path = new_file(options.out or Path("demos") / f"{task.id}.h5")
    config = RunConfig(options.task, seed=options.seed, program=options.program, demos=options.settings)
    follow(collect_demos(task, config), CONSOLE).save(path)
    show_demos(path, DemoSet.load(path), task)


def _demos_import(words: list[str]) -> None:
    """Bring demonstrations of another format (npz, robomimic, Minari, LeRobot) into our own."""

    @dataclass(frozen=True)
    class Import:
        task: Annotated[str, tyro.conf.Positional]
        """Task id."""
        file: Annotated[Path, tyro.conf.Positional]
        """Demonstrations: npz, robomimic HDF5, or the folder of a dataset of Minari or LeRobot."""
        out: Path | None = None
        """File to write; by default demos/TASK.h5."""
        format: str | None = None
        """npz, robomimic, minari or lerobot; by default what the file looks like."""
        names: tuple[str, ...] = ()
        """FIELD=NAME for each field that has another name in the file."""
        source: str = ""
        """Who demonstrated, where the file does not say; by default its name."""
        pad: bool = False
        """Fill fields that the file does not have with 0 instead of refusing it."""
        skip_broken: bool = False
        """Leave broken episodes out instead of refusing the file."""
        clip: bool = True
        """Clip actions slightly out of range to [-1, 1], or refuse them."""

    options = parse(Import, words, "demos import")
    task = get_task(options.task)
    path = new_file(options.out or Path("demos") / f"{task.id}.h5")
    pairs = [word.partition("=") for word in options.names]
    if any(not (field and name) for field, _, name in pairs):
        raise UsageError(f"--names takes FIELD=NAME, not {' '.join(options.names)}")
    if not options.format and is_demoset(options.file):
        demos = DemoSet.load(options.file, options.skip_broken)
        demos.check(task)
    else:
        demos = import_demos(
            options.file,
            task,
            options.source,
            format=options.format,
            names={field: name for field, _, name in pairs},
            pad=options.pad,
            clip=options.clip,
            skip_broken=options.skip_broken,
        )
    demos.save(path)
    show_demos(path, demos, task)


def _demos_export(words: list[str]) -> None:
    """Write demonstrations in another format (npz, robomimic, Minari, LeRobot)."""

    @dataclass(frozen=True)
    class Export:
        file: Annotated[Path, tyro.conf.Positional]
        """Demonstrations, as expertgen wrote them."""
        format: str
        """npz, robomimic, minari or lerobot."""
        out: Path | None = None
        """File or folder to write; by default beside the demonstrations, named after the format."""
        task: str | None = None
        """Their task, where it is not one of `expertgen tasks`, e.g. my_tasks:PUSH."""

    options = parse(Export, words, "demos export")
    suffix = find_format(options.format).suffix
    default = options.file.with_name(f"{options.file.stem}-{options.format}{suffix}")
    path = (new_file if suffix else new_folder)(options.out or default)
    demos = with_origins(DemoSet.load(options.file), options.file.name)
    task = known_task(demos, options.task)
    if task is None:
        raise UsageError(f"{demos.task!r} is not one of `expertgen tasks`: give --task, e.g. my_tasks:PUSH")
    export_demos(demos, task, path, options.format)
    CONSOLE.print(f"{options.format:<8} {path}  ({len(demos)} episodes, {demos.steps:,} control steps)")


def _demos_show(words: list[str]) -> None:
    """Show what demonstrations hold, and refuse broken ones."""

    @dataclass(frozen=True)
    class Show:
        file: Annotated[Path, tyro.conf.Positional]
        """Demonstrations, as expertgen wrote them."""
        task: str | None = None
        """Their task, where it is not one of `expertgen tasks`, e.g. my_tasks:PUSH."""
        skip_broken: bool = False
        """Leave broken episodes out instead of refusing the file."""

    options = parse(Show, words, "demos show")
    demos = DemoSet.load(options.file, options.skip_broken)
    show_demos(options.file, demos, known_task(demos, options.task))


def _demos_calibrate(words: list[str]) -> None:
    """Find how imperfect scripted demonstrators must be for their priors to be worth steering."""
    from expertgen.pipeline.calibrate import calibrate_tasks

    @dataclass(frozen=True)
    class Calibrate:
        tasks: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
        """Tasks; by default all of MetaWorld."""
        out: Path = Path("calibration.json")
        """File to write, or to add to: tasks that it has are left alone."""
        seed: int = 0
        """Seed of everything random."""
        episodes: int = 256
        """Episodes by which a prior's success is measured."""
        workers: int | None = None
        """Tasks at a time; by default one a core."""

    options = parse(Calibrate, words, "demos calibrate")
    for name in ("episodes", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}")
    tasks = [get_task(name).id for name in options.tasks] or [task.id for task in metaworld_tasks()]
    found = follow(calibrate_tasks(tasks, options.out, options.seed, options.episodes, options.workers), CONSOLE)
    table = Table("task", "strength", "demonstrations", "prior", "95%", "verdict", title="calibrated demonstrators")
    for name in tasks:
        one = found[name]
        interval = f"{one.low:.1%} to {one.high:.1%}"
        table.add_row(name, f"{one.strength:.3g}", f"{one.demos:.1%}", f"{one.prior:.1%}", interval, one.verdict)
    CONSOLE.print(table)
    CONSOLE.print(f"file     {options.out}")
