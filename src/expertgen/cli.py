"""The command line: verbs only. Parse, call, print; everything else lives in the layers."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from rich.console import Console
from rich.table import Table

from expertgen.demos.collect import CollectConfig
from expertgen.demos.describe import describe
from expertgen.demos.store import DemoSet
from expertgen.errors import ExpertgenError, FileError, UsageError, nearest
from expertgen.mbrl.mbpo import MbpoConfig
from expertgen.mbrl.run import MbrlConfig, run_mbrl
from expertgen.mbrl.run import default_settings as mbrl_settings
from expertgen.pipeline.inputs import collect_demos, read_demos
from expertgen.pipeline.measure import EVALUATION_SEED, evaluate_run
from expertgen.pipeline.run import run
from expertgen.pipeline.settings import RunConfig, default_settings
from expertgen.presets import preset
from expertgen.reporting.report import write_report
from expertgen.reporting.terminal import results_table
from expertgen.runs.config import overlay, read_yaml
from expertgen.runs.machine import prepare_process
from expertgen.runs.progress import drain, follow
from expertgen.tasks.registry import get_task, task_names

Parsed = TypeVar("Parsed")
CONSOLE = Console()

EXAMPLE_TASK = "peg-insert-side"
EXAMPLE_MBRL_TASK = "inverted-double-pendulum"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns the exit code: 0 done, 1 failed, 2 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if not words or words[0] in ("-h", "--help"):
            CONSOLE.print(_verbs())
            return 0
        if words[0] not in VERBS:
            raise UsageError(f"unknown verb {words[0]!r}{nearest(words[0], VERBS)}; `expertgen --help` lists them")
        prepare_process()
        VERBS[words[0]](words[1:])
    except ExpertgenError as error:
        print(f"expertgen: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("expertgen: interrupted", file=sys.stderr)
        return 1
    return 0


def run_verb(words: list[str]) -> None:
    """The whole way: demonstrations, prior, expert, student, report."""
    _run(words, "run", {})


def prior_verb(words: list[str]) -> None:
    """Train a prior on demonstrations, probe it and measure its steerability."""
    _run(words, "prior", {"until": "prior"})


def steer_verb(words: list[str]) -> None:
    """Steer a prior (--prior-file) to an expert."""
    _run(words, "steer", {"until": "expert"})


def distill_verb(words: list[str]) -> None:
    """Distil an expert (--expert-file) into a camera student."""
    _run(words, "distill", {"until": "student"})


def demos_verb(words: list[str]) -> None:
    """Collect, import or show demonstrations."""
    actions = {"collect": _demos_collect, "import": _demos_import, "show": _demos_show}
    if not words or words[0] not in actions:
        raise UsageError("expertgen demos takes one of: collect TASK, import TASK FILE, show FILE")
    actions[words[0]](words[1:])


def mbrl_verb(words: list[str]) -> None:
    """Learn a task with dense rewards in a world model whose data are weighted."""
    folder, config = _resolve_mbrl(words)
    try:
        results = follow(run_mbrl(config, folder, shlex.join(["expertgen", "mbrl", *words])), CONSOLE)
    except (KeyboardInterrupt, ExpertgenError):
        if (folder / "config.json").exists():
            print(f"expertgen: stopped; continue with: expertgen mbrl --resume {folder}", file=sys.stderr)
        raise
    table = Table("task", "weighting", "return", "deviation", "episodes", "env steps", "seconds")
    numbers = (f"{results['return']:.4g}", f"{results['return_deviation']:.3g}", str(results["episodes"]))
    table.add_row(config.task, config.weighting, *numbers, f"{results['env_steps']:,}", f"{results['seconds']:,.0f}")
    CONSOLE.print(table)
    CONSOLE.print(f"results  {folder / 'results.json'}")


def eval_verb(words: list[str]) -> None:
    """Play the policies of a run again and print success with intervals."""

    @dataclass(frozen=True)
    class Eval:
        run: Annotated[Path, tyro.conf.Positional]
        """Run folder."""
        episodes: int = 256
        """Episodes of every policy."""
        env_seed: int = EVALUATION_SEED
        """Environment seed; the default is the one of the report."""
        json: bool = False
        """Print the form of results.json instead of a table."""

    options = _parse(Eval, words, "eval")
    if options.episodes < 1:
        raise UsageError(f"--episodes must be at least 1, not {options.episodes}")
    loop = evaluate_run(options.run, options.episodes, options.env_seed)
    results = drain(loop) if options.json else follow(loop, CONSOLE)
    if options.json:
        print(json.dumps(results.to_json(), indent=2))
    else:
        CONSOLE.print(results_table(results))


def report_verb(words: list[str]) -> None:
    """Write the report of a run folder."""

    @dataclass(frozen=True)
    class Report:
        run: Annotated[Path, tyro.conf.Positional]
        """Run folder."""

    print(write_report(_parse(Report, words, "report").run))


def tasks_verb(words: list[str]) -> None:
    """List tasks, show one, or audit the simulators."""
    if words[:1] == ["audit"]:
        _audit(words[1:])
    elif words and not words[0].startswith("-"):
        _show_task(words[0])
    else:
        table = Table("task", "simulator", "observation", "action", "horizon", "what is to be done")
        for task in map(get_task, task_names()):
            sizes = (str(task.observation_size), str(task.action_size), str(task.horizon))
            table.add_row(task.id, task.simulator, *sizes, task.description)
        CONSOLE.print(table)


def doctor_verb(words: list[str]) -> None:
    """Tell what this machine can do."""
    from expertgen.doctor import examine

    examine(CONSOLE)


VERBS: dict[str, Callable[[list[str]], None]] = {
    "run": run_verb,
    "demos": demos_verb,
    "prior": prior_verb,
    "steer": steer_verb,
    "distill": distill_verb,
    "mbrl": mbrl_verb,
    "eval": eval_verb,
    "report": report_verb,
    "tasks": tasks_verb,
    "doctor": doctor_verb,
}


@dataclass(frozen=True)
class _RunOptions:
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


def _run(words: list[str], verb: str, fixed: dict[str, Any]) -> None:
    """Starts or resumes a run, shows its progress, writes its report and prints where everything is."""
    folder, config = _resolve(words, verb, fixed)
    command = shlex.join(["expertgen", verb, *words])
    try:
        results = follow(run(config, folder, command), CONSOLE)
    except (KeyboardInterrupt, ExpertgenError):
        if (folder / "config.json").exists():
            print(f"expertgen: stopped; continue with: expertgen {verb} --resume {folder}", file=sys.stderr)
        raise
    CONSOLE.print(results_table(results))
    CONSOLE.print(f"report   {write_report(folder)}\nresults  {folder / 'results.json'}")


@dataclass(frozen=True)
class _MbrlOptions:
    """Settings come from the task's preset, then the file, then the flags; later ones win."""

    settings: Annotated[MbrlConfig, tyro.conf.arg(name="")]
    """How everything is done."""
    task: Annotated[str | None, tyro.conf.Positional] = None
    """Task id; `expertgen tasks` lists them."""
    config: Path | None = None
    """YAML file with settings, in the form of a run's config.json."""
    out: Path | None = None
    """Run folder to create; by default runs/mbrl-TASK-WEIGHTING-SEED."""
    resume: Path | None = None
    """Run folder to continue; needs nothing else."""


def _resolve_mbrl(words: list[str]) -> tuple[Path, MbrlConfig]:
    """Returns the run folder and the settings that the command line means."""
    # Parsed twice: the first time for file and task, the second time with what they say as the defaults. The first
    # time, no default may contradict a flag that fits the task's own settings.
    anything = MbpoConfig(env_steps=2**40, exploration_steps=1, rollout_starts=1, model_capacity=2**40)
    options = _parse(_MbrlOptions, words, "mbrl", _MbrlOptions(MbrlConfig(EXAMPLE_MBRL_TASK, mbpo=anything)))
    if options.resume is not None:
        saved = _saved_settings(options.resume, options.task)
        return options.resume, overlay(MbrlConfig(str(saved["task"]), termination="learned"), saved)
    file = read_yaml(options.config) if options.config is not None else {}
    task = options.task or file.get("task")
    if task is None:
        raise UsageError(f"which task? For example: expertgen mbrl {EXAMPLE_MBRL_TASK}; `expertgen tasks` lists them")
    settings = overlay(mbrl_settings(str(task)), {**file, "task": str(task)})
    settings = _parse(_MbrlOptions, words, "mbrl", replace(options, settings=settings)).settings
    name = f"mbrl-{get_task(settings.task).id}-{settings.weighting}-{settings.seed}"
    return _new_folder(options.out or _free(Path("runs") / name)), settings


def _resolve(words: list[str], verb: str, fixed: dict[str, Any]) -> tuple[Path, RunConfig]:
    """Returns the run folder and the settings that the command line means."""
    # Parsed twice: the first time for preset, file and task, the second time with what they say as the defaults.
    options = _parse(_RunOptions, words, verb, _RunOptions(RunConfig(EXAMPLE_TASK)))
    if options.resume is not None:
        return _resumed(options.resume, options.task)
    file = read_yaml(options.config) if options.config is not None else {}
    task = options.task or file.get("task")
    if task is None:
        raise UsageError(f"which task? For example: expertgen {verb} {EXAMPLE_TASK}; `expertgen tasks` lists them")
    settings = replace(default_settings(str(task)), **fixed)
    for changes in (preset(options.preset), {**file, "task": settings.task}):
        settings = overlay(settings, changes)
    settings = _parse(_RunOptions, words, verb, replace(options, settings=settings)).settings
    folder = options.out or _free(Path("runs") / f"{get_task(settings.task).id}-{settings.seed}")
    return _new_folder(folder), settings


def _new_folder(folder: Path) -> Path:
    _check_writable(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--out {folder} exists already; choose another, or continue it with --resume {folder}")
    return folder


def _resumed(folder: Path, task: str | None) -> tuple[Path, RunConfig]:
    saved = _saved_settings(folder, task)
    return folder, overlay(RunConfig(str(saved["task"])), saved)


def _saved_settings(folder: Path, task: str | None) -> dict[str, Any]:
    """The settings that a run was started with."""
    if not (folder / "config.json").exists():
        raise FileError(f"--resume {folder}: no config.json there, so it is not a run folder")
    saved = read_yaml(folder / "config.json")
    if task is not None and task != saved.get("task"):
        raise UsageError(f"--resume {folder} is a run of {saved.get('task')!r}, not of {task!r}")
    return saved


def _free(folder: Path) -> Path:
    """The folder itself, or the first of `folder-2`, `folder-3`, ... that does not exist."""
    names = itertools.chain([folder], (folder.with_name(f"{folder.name}-{n}") for n in itertools.count(2)))
    return next(path for path in names if not path.exists())


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
    options = _parse(Collect, words, "demos collect")
    options = replace(options, settings=default_settings(options.task).demos)
    options = _parse(Collect, words, "demos collect", options)
    path = _new_file(options.out or Path("demos") / f"{get_task(options.task).id}.h5")
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

    options = _parse(Import, words, "demos import")
    task = get_task(options.task)
    path = _new_file(options.out or Path("demos") / f"{task.id}.h5")
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

    options = _parse(Show, words, "demos show")
    demos = DemoSet.load(options.file, options.skip_broken)
    task = get_task(demos.task) if demos.task in task_names() else None
    CONSOLE.print(describe(demos, task))
    CONSOLE.print(f"file     {options.file}")


def _new_file(path: Path) -> Path:
    _check_writable(path)
    if path.exists():
        raise UsageError(f"{path} exists already; choose another with --out, or delete it")
    return path


def _check_writable(path: Path) -> None:
    """Refuses a place where nothing can be written, before minutes are spent on what is to be written there."""
    folder = next(parent for parent in path.absolute().parents if os.path.exists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {path}: {folder} is not a folder that you may write in; choose another --out")


def _audit(names: list[str]) -> None:
    from expertgen.tasks.audit import audit_tasks

    tasks = [get_task(name) for name in names or task_names()]
    record = follow(audit_tasks([t for t in tasks if t.simulator_id.startswith("MetaWorld/")]), CONSOLE)
    table = Table("task", "EnvPool", "MetaWorld", "verdict", title="scripted expert, successes by episode")
    for audit in record.tasks.values():
        counts = (" ".join(map(str, successes)) for successes in (audit.envpool_success, audit.metaworld_success))
        table.add_row(audit.task, *counts, "; ".join(audit.defects) or "sound")
    CONSOLE.print(table)


def _show_task(name: str) -> None:
    task = get_task(name)
    CONSOLE.print(f"[bold]{task.id}[/bold]  {task.description}\nsuccess: {task.success or 'none'}")
    CONSOLE.print(
        f"action: {', '.join(task.action_names)}; {task.action_unit}; {task.control_rate:g} Hz, {task.horizon} steps"
    )
    if task.note:
        CONSOLE.print(f"note: {task.note}")
    table = Table("field", "columns", "unit", "frame", "meaning")
    for one in task.fields:
        table.add_row(one.name, f"{one.start}:{one.stop}", one.unit, one.frame, one.meaning)
    CONSOLE.print(table)


def _verbs() -> Table:
    table = Table("expertgen", "", title="Imperfect demonstrations in, expert policies out", title_justify="left")
    for name, verb in VERBS.items():
        table.add_row(name, (verb.__doc__ or "").strip())
    return table


def _parse(kind: type[Parsed], words: list[str], verb: str, default: Parsed | None = None) -> Parsed:
    """Parses a verb's words; what tyro would say in a box becomes one line."""
    text = io.StringIO()
    try:
        with contextlib.redirect_stderr(text):
            if default is None:
                return tyro.cli(kind, args=words, prog=f"expertgen {verb}")
            return tyro.cli(kind, args=words, prog=f"expertgen {verb}", default=default)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        lines = [line.strip(" │╭╰─╮╯") for line in text.getvalue().splitlines()]
        lines = [line for line in lines if line.strip("-")]  # without rules, which are hyphens where there is no UTF-8
        # The first line of the box is its title; behind the message comes where to find help.
        ends = ("Argument helptext", "For full helptext")
        said = " ".join(itertools.takewhile(lambda line: not line.startswith(ends), lines[1:]))
        raise UsageError(f"{said}; see expertgen {verb} --help") from None
