"""Verbs of demonstrations: collect, teleop, import and export, show, calibrate; `mixing` and `writing` have others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import tyro
from rich.table import Table

from expertgen.cli.mixing import MIXING, known_task, show_demos
from expertgen.cli.parsing import CONSOLE, check_writable, listed, new_file, new_folder, parse
from expertgen.cli.writing import demos_programs, demos_write
from expertgen.demos.collect import CollectConfig
from expertgen.demos.exchange import check_films, export_demos, find_format, import_demos
from expertgen.demos.mix import with_origins
from expertgen.demos.store import DemoSet, is_demoset
from expertgen.errors import UsageError
from expertgen.pipeline.inputs import collect_demos
from expertgen.pipeline.settings import RunConfig, default_settings
from expertgen.runs.progress import follow
from expertgen.tasks.metaworld_specs import metaworld_tasks
from expertgen.tasks.registry import get_task


def demos_verb(words: list[str]) -> None:
    """Collect, record, import, show, compare and mix demonstrations; write programs, or calibrate who demonstrates."""
    actions = {
        "collect": _demos_collect,
        "teleop": _demos_teleop,
        "import": _demos_import,
        "export": _demos_export,
        "show": _demos_show,
        **MIXING,
        "calibrate": _demos_calibrate,
        "write": demos_write,
        "programs": demos_programs,
    }
    if words and words[0] in ("-h", "--help"):
        CONSOLE.print(listed("expertgen demos", actions))
    elif words and words[0] in actions:
        actions[words[0]](words[1:])
    else:
        raise UsageError(
            "expertgen demos takes one of: collect TASK, teleop TASK, write TASK, programs, import TASK FILE, "
            f"export FILE, show FILE, {', '.join(MIXING)}, calibrate"
        )


def _demos_collect(words: list[str]) -> None:
    """Let a program demonstrate a task."""

    @dataclass(frozen=True)
    class Collect:
        task: Annotated[str, tyro.conf.Positional]
        """Task id."""
        out: Path | None = None
        """File to write; by default demos/TASK.h5."""
        program: tuple[Path, ...] | None = None
        """Demonstration programs to run instead of the task's scripted demonstrator: files, or names of shipped ones.
        Several share the episodes."""
        sandbox: bool = True
        """Run them in a sandbox; without, they have your own rights."""
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
    config = RunConfig(
        options.task, seed=options.seed, program=options.program, sandbox=options.sandbox, demos=options.settings
    )
    follow(collect_demos(task, config), CONSOLE).save(path)
    show_demos(path, DemoSet.load(path), task)


def _demos_teleop(words: list[str]) -> None:
    """Demonstrate a task yourself, in a browser."""
    from expertgen.teleop.config import TeleopConfig
    from expertgen.teleop.run import SOURCE, check_teleoperable, teleoperate

    @dataclass(frozen=True)
    class Teleop:
        task: Annotated[str, tyro.conf.Positional]
        """Task id, one of MetaWorld's."""
        out: Path | None = None
        """File to append to; by default demos/TASK-teleop.h5."""
        episodes: int = 20
        """Episodes that are wanted; the page counts towards it."""
        pace: float = 0.25
        """How fast to simulate at first, as a share of real time: 0.125, 0.25, 0.5 or 1."""
        horizon: int | None = None
        """Time limit of an episode in control steps; by default the task's."""
        seed: int = 0
        """Seed of the first start; the next ones count up from it."""
        source: str = SOURCE
        """Who demonstrates, as it will stand in the file."""
        renderer: Literal["rays", "opengl"] = "rays"
        """How to draw: rays works everywhere, opengl needs MUJOCO_GL=egl or a display."""
        host: str = "127.0.0.1"
        """Address to listen on. Beyond this machine, traffic is not encrypted."""
        port: int = 8700
        """Port to listen on; 0 is any that is free."""

    options = parse(Teleop, words, "demos teleop")
    task = get_task(options.task)
    check_teleoperable(task)
    config = TeleopConfig(options.episodes, options.pace, options.renderer, options.host, options.port)
    path = options.out or Path("demos") / f"{task.id}-teleop.h5"
    check_writable(path)

    def started(address: str) -> None:
        CONSOLE.print(f"open     {address}", soft_wrap=True, highlight=False)
        CONSOLE.print(f"file     {path}\nend      with Ctrl-C; what was kept is saved, and an open episode too")

    recorder = teleoperate(task, path, config, started, options.source, options.seed, options.horizon)
    if recorder.kept:
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
        cameras: tuple[str, ...] = ()
        """Cameras of the task to film the demonstrations with; for lerobot. They are replayed in MetaWorld."""
        size: tuple[int, int] = (320, 240)
        """Width and height of these pictures [pixels], both even."""
        skip_broken: bool = False
        """Leave demonstrations out that cannot be replayed, instead of refusing all."""

    options = parse(Export, words, "demos export")
    suffix = find_format(options.format).suffix
    default = options.file.with_name(f"{options.file.stem}-{options.format}{suffix}")
    path = (new_file if suffix else new_folder)(options.out or default)
    demos = with_origins(DemoSet.load(options.file), options.file.name)
    task = known_task(demos, options.task)
    if task is None:
        raise UsageError(f"{demos.task!r} is not one of `expertgen tasks`: give --task, e.g. my_tasks:PUSH")
    with TemporaryDirectory() as folder:
        films = []
        if options.cameras:
            from expertgen.vision.footage import shoot

            check_films(options.format)
            shooting = shoot(demos, task, options.cameras, Path(folder), options.size, options.skip_broken)
            demos, films = follow(shooting, CONSOLE)
        export_demos(demos, task, path, options.format, films)
    for note in demos.notes:
        CONSOLE.print(f"note: {note}", markup=False)
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
