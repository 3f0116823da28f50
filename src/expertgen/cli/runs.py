"""Verbs of runs: the whole way, its stages, and what came of it."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from expertgen.cli.parsing import CONSOLE, check_writable, free, parse
from expertgen.errors import ExpertgenError, FileError, UsageError
from expertgen.pipeline.measure import EVALUATION_SEED, evaluate_run
from expertgen.pipeline.run import run
from expertgen.pipeline.settings import RunConfig, default_settings
from expertgen.presets import preset
from expertgen.reporting.report import write_report
from expertgen.reporting.terminal import results_table
from expertgen.runs.config import overlay, read_yaml
from expertgen.runs.progress import drain, follow
from expertgen.suite.report import write_suite_report
from expertgen.tasks.registry import get_task

EXAMPLE_TASK = "peg-insert-side"


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
    loop = evaluate_run(options.run, options.episodes, options.env_seed)
    results = drain(loop) if options.json else follow(loop, CONSOLE)
    if options.json:
        print(json.dumps(results.to_json(), indent=2))
    else:
        CONSOLE.print(results_table(results))


def report_verb(words: list[str]) -> None:
    """Write the report of a run folder, or of a suite's."""

    @dataclass(frozen=True)
    class Report:
        run: Annotated[Path, tyro.conf.Positional]
        """Run folder, or the folder of a suite."""

    folder = parse(Report, words, "report").run
    print(write_suite_report(folder) if (folder / "suite.json").exists() else write_report(folder))


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


def _resolve(words: list[str], verb: str, fixed: dict[str, Any]) -> tuple[Path, RunConfig]:
    """Returns the run folder and the settings that the command line means."""
    # Parsed twice: the first time for preset, file and task, the second time with what they say as the defaults.
    options = parse(_RunOptions, words, verb, _RunOptions(RunConfig(EXAMPLE_TASK)))
    if options.resume is not None:
        return _resumed(options.resume, options.task)
    file = read_yaml(options.config) if options.config is not None else {}
    task = options.task or file.get("task")
    if task is None:
        raise UsageError(f"which task? For example: expertgen {verb} {EXAMPLE_TASK}; `expertgen tasks` lists them")
    settings = replace(default_settings(str(task)), **fixed)
    for changes in (preset(options.preset), {**file, "task": settings.task}):
        settings = overlay(settings, changes)
    settings = parse(_RunOptions, words, verb, replace(options, settings=settings)).settings
    folder = options.out or free(Path("runs") / f"{get_task(settings.task).id}-{settings.seed}")
    check_writable(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--out {folder} exists already; choose another, or continue it with --resume {folder}")
    return folder, settings


def _resumed(folder: Path, task: str | None) -> tuple[Path, RunConfig]:
    if not (folder / "config.json").exists():
        raise FileError(f"--resume {folder}: no config.json there, so it is not a run folder")
    saved = read_yaml(folder / "config.json")
    if task is not None and task != saved.get("task"):
        raise UsageError(f"--resume {folder} is a run of {saved.get('task')!r}, not of {task!r}")
    return folder, overlay(RunConfig(str(saved.get("task"))), saved)
