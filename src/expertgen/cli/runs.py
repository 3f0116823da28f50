"""Verbs of runs: the whole way, its stages, and what came of it."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from expertgen.cli.options import resolve
from expertgen.cli.parsing import CONSOLE, parse
from expertgen.errors import ExpertgenError, UsageError
from expertgen.evaluation.results import Results
from expertgen.evaluation.seeds import EVALUATION_SEED, check_seed
from expertgen.pipeline.measure import evaluate_run
from expertgen.pipeline.robustness import measure_robustness
from expertgen.pipeline.run import run
from expertgen.pipeline.settings import Stage
from expertgen.reporting.mbrl import is_mbrl_run, write_mbrl_report
from expertgen.reporting.page import require_report
from expertgen.reporting.report import write_report
from expertgen.reporting.terminal import results_table, robustness_table
from expertgen.reporting.words import TITLES
from expertgen.runs.progress import drain, follow
from expertgen.suite.report import write_suite_report
from expertgen.tasks.registry import get_task


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


def robustness_verb(words: list[str]) -> None:
    """Disturb the policies of a run and print what they still achieve."""

    @dataclass(frozen=True)
    class Robustness:
        run: Annotated[Path, tyro.conf.Positional]
        """Run folder; robustness.json there is continued."""
        episodes: int = 256
        """Held-out episodes of every policy under every perturbation."""
        perturbations: tuple[str, ...] = ()
        """NAME, for its usual strengths, or NAME=STRENGTH; by default all that the task allows."""
        policies: tuple[str, ...] = ()
        """Stages and controls; by default all but students, which are slower."""

    options = parse(Robustness, words, "robustness")
    if options.episodes < 1:
        raise UsageError(f"--episodes must be at least 1, not {options.episodes}")
    require_report()
    loop = measure_robustness(options.run, options.episodes, options.perturbations, options.policies)
    try:
        robustness = follow(loop, CONSOLE)
    except KeyboardInterrupt:
        print("expertgen: stopped; finished trials are kept, the same command does the others", file=sys.stderr)
        raise
    CONSOLE.print(robustness_table(robustness))
    CONSOLE.print(f"report   {write_report(options.run)}\nresults  {options.run / 'robustness.json'}")


def report_verb(words: list[str]) -> None:
    """Write the report of a run folder, finished or not, or of a suite's."""

    @dataclass(frozen=True)
    class Report:
        run: Annotated[Path, tyro.conf.Positional]
        """Run folder, or the folder of a suite."""

    folder = parse(Report, words, "report").run
    if (folder / "suite.json").exists():
        print(write_suite_report(folder))
    else:
        print(write_mbrl_report(folder) if is_mbrl_run(folder) else write_report(folder))


def _run(words: list[str], verb: str, until: Stage | None = None) -> None:
    """Starts or resumes a run, shows its progress, writes its report and prints where everything is."""
    folder, config = resolve(words, verb, until)
    if config.until == "student" and not get_task(config.task).cameras:
        if until == "student":
            raise UsageError(f"task {config.task!r} has no cameras, so there is no student to distil; choose another")
        CONSOLE.print(f"task {config.task!r} has no cameras: the run ends at the expert")
    require_report()
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
