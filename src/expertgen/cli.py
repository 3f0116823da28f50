"""The command line: verbs only. Parse, call, print; everything else lives in the layers."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from expertgen import __version__
from expertgen.demos.collect import CollectConfig
from expertgen.demos.describe import describe
from expertgen.demos.store import DemoSet
from expertgen.errors import ExpertgenError, UsageError, nearest
from expertgen.evaluation.results import Results
from expertgen.options import new_file, parse, resolve
from expertgen.pipeline.inputs import collect_demos, read_demos
from expertgen.pipeline.measure import EVALUATION_SEED, evaluate_run
from expertgen.pipeline.run import run
from expertgen.pipeline.settings import RunConfig, Stage, check_seed, default_settings
from expertgen.reporting.report import write_report
from expertgen.reporting.terminal import results_table
from expertgen.reporting.words import TITLES
from expertgen.runs.machine import prepare_process
from expertgen.runs.progress import drain, follow
from expertgen.tasks.audit_record import shipped_record
from expertgen.tasks.registry import get_task, task_names
from expertgen.tasks.spec import TaskSpec

CONSOLE = Console()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns the exit code: 0 done, 1 failed, 2 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if not words or words[0] in ("-h", "--help"):
            CONSOLE.print(_listed("expertgen", VERBS, "Imperfect demonstrations in, expert policies out"))
            return 0
        if words[0] == "--version":
            print(__version__)
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
    _run(words, "run")


def prior_verb(words: list[str]) -> None:
    """Train a prior on demonstrations, probe it and measure its steerability."""
    _run(words, "prior", "prior")


def steer_verb(words: list[str]) -> None:
    """Steer a prior (--prior-file) to an expert."""
    _run(words, "steer", "expert")


def distill_verb(words: list[str]) -> None:
    """Distil an expert (--expert-file) into a camera student."""
    _run(words, "distill", "student")


def demos_verb(words: list[str]) -> None:
    """Collect, import or show demonstrations."""
    actions = {"collect": _demos_collect, "import": _demos_import, "show": _demos_show}
    if words and words[0] in ("-h", "--help"):
        CONSOLE.print(_listed("expertgen demos", actions))
    elif words and words[0] in actions:
        actions[words[0]](words[1:])
    else:
        raise UsageError("expertgen demos takes one of: collect TASK, import TASK FILE, show FILE")


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

    options = parse(Eval, words, "eval")
    if options.episodes < 1:
        raise UsageError(f"--episodes must be at least 1, not {options.episodes}")
    check_seed("--env-seed", options.env_seed)
    command = shlex.join(["expertgen", "eval", *words])
    loop = evaluate_run(options.run, options.episodes, options.env_seed, command)
    results = drain(loop) if options.json else follow(loop, CONSOLE)
    if options.json:
        print(json.dumps(results.to_json(), indent=2))
    else:
        _print_results(results)


def report_verb(words: list[str]) -> None:
    """Write the report of a run folder."""

    @dataclass(frozen=True)
    class Report:
        run: Annotated[Path, tyro.conf.Positional]
        """Run folder."""

    print(write_report(parse(Report, words, "report").run))


def tasks_verb(words: list[str]) -> None:
    """List tasks, show one, or audit the simulators."""

    @dataclass(frozen=True)
    class Tasks:
        task: Annotated[str | None, tyro.conf.Positional] = None
        """Task to show; without it, all are listed. `audit [TASK ...]` audits their simulators instead."""

    if words[:1] == ["audit"]:
        _audit(words[1:])
    elif name := parse(Tasks, words, "tasks").task:
        _show_task(get_task(name))
    else:
        table = Table("task", "simulator", "observation", "action", "horizon", "what is to be done")
        for task in map(get_task, task_names()):
            sizes = (str(task.observation_size), str(task.action_size), str(task.horizon))
            table.add_row(task.id, task.simulator, *sizes, task.description)
        CONSOLE.print(table)


def doctor_verb(words: list[str]) -> None:
    """Tell what this machine can do."""
    from expertgen.doctor import examine

    @dataclass(frozen=True)
    class Doctor:
        pass

    parse(Doctor, words, "doctor")
    examine(CONSOLE)


VERBS: dict[str, Callable[[list[str]], None]] = {
    "run": run_verb,
    "demos": demos_verb,
    "prior": prior_verb,
    "steer": steer_verb,
    "distill": distill_verb,
    "eval": eval_verb,
    "report": report_verb,
    "tasks": tasks_verb,
    "doctor": doctor_verb,
}


def _run(words: list[str], verb: str, until: Stage | None = None) -> None:
    """Starts or resumes a run, shows its progress, writes its report and prints where everything is."""
    folder, config = resolve(words, verb, until)
    if config.until == "student" and not get_task(config.task).cameras:
        if until == "student":
            raise UsageError(f"task {config.task!r} has no cameras, so there is no student to distil; choose another")
        CONSOLE.print(f"task {config.task!r} has no cameras: the run ends at the expert")
    command = shlex.join(["expertgen", verb, *words])
    try:
        results = follow(run(config, folder, command), CONSOLE)
    except (KeyboardInterrupt, ExpertgenError):
        if (folder / "config.json").exists():
            print(
                "expertgen: stopped; finished stages and everything up to the last saved segment are kept; "
                f"continue with: expertgen {verb} --resume {folder}",
                file=sys.stderr,
            )
        raise
    _print_results(results)
    CONSOLE.print(f"report   {write_report(folder)}\nresults  {folder / 'results.json'}")


def _print_results(results: Results) -> None:
    CONSOLE.print(results_table(results))
    for name, note in results.notes.items():
        CONSOLE.print(f"{TITLES[name]}: {note}")


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
    _show(path, DemoSet.load(path), task)


def _demos_import(words: list[str]) -> None:
    """Bring demonstrations of another format (npz, robomimic HDF5) into our own."""

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
    _show(path, demos, task)


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
    if options.task:
        demos.check(get_task(options.task))
    name = options.task or (demos.task if demos.task in task_names() else None)
    _show(options.file, demos, get_task(name) if name else None)


def _show(path: Path, demos: DemoSet, task: TaskSpec | None) -> None:
    CONSOLE.print(describe(demos, task))
    CONSOLE.print(f"file     {path}")


def _audit(words: list[str]) -> None:
    from expertgen.tasks.audit import audit_tasks

    @dataclass(frozen=True)
    class Audit:
        tasks: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
        """Tasks to audit; by default all of MetaWorld."""

    names = parse(Audit, words, "tasks audit").tasks
    tasks = [get_task(name) for name in names or task_names()]
    record = follow(audit_tasks([t for t in tasks if names or t.simulator_id.startswith("MetaWorld/")]), CONSOLE)
    table = Table("task", "EnvPool", "MetaWorld", "verdict", title="scripted expert, successes by episode")
    for audit in record.tasks.values():
        counts = (" ".join(map(str, successes)) for successes in (audit.envpool_success, audit.metaworld_success))
        table.add_row(audit.task, *counts, "; ".join(audit.defects) or "sound")
    CONSOLE.print(table)
    unsound = [task.id for task in tasks if task.id in record.tasks and not record.tasks[task.id].sound]
    if found := [name for name in unsound if get_task(name).simulator == "envpool"]:
        raise ExpertgenError(
            f"unsound in EnvPool, which trains them: {', '.join(found)}; "
            f"install {', '.join(f'{name}=={version}' for name, version in shipped_record().versions.items())}"
        )


def _show_task(task: TaskSpec) -> None:
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


def _listed(command: str, verbs: Mapping[str, Callable[[list[str]], None]], title: str | None = None) -> Table:
    table = Table(command, "", title=title, title_justify="left")
    for name, verb in verbs.items():
        table.add_row(name, (verb.__doc__ or "").strip())
    return table
