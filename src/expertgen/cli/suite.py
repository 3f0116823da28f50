"""The verb of comparisons: methods × tasks × seeds."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from expertgen.cli.parsing import CONSOLE, free, new_folder, parse
from expertgen.errors import ExpertgenError, TrainingError, UsageError
from expertgen.reporting.page import require_report
from expertgen.suite.analysis import outside_reference
from expertgen.suite.display import standings_table, watch
from expertgen.suite.plan import Suite, built_in_suites, find_suite, narrowed, suite_from
from expertgen.suite.report import write_suite_report
from expertgen.suite.runner import check_workers, member_folder, read_suite, run_suite


@dataclass(frozen=True)
class _SuiteOptions:
    """Compares methods on tasks over seeds, each run in a process and on a core of its own."""

    suite: Annotated[str | None, tyro.conf.Positional] = None
    """YAML file, or the name of a suite that comes with the package."""
    out: Path | None = None
    """Folder to create; by default suites/NAME."""
    resume: Path | None = None
    """Folder of a suite to continue; needs nothing else. Failed runs are tried again."""
    workers: int | None = None
    """Runs at a time; by default one a core."""
    seeds: tuple[int, ...] | None = None
    """Seeds to use instead of the suite's."""
    tasks: tuple[str, ...] | None = None
    """Which of the suite's tasks; by default all."""
    methods: tuple[str, ...] | None = None
    """Which of the suite's methods; by default all."""


def suite_verb(words: list[str]) -> None:
    """Compare methods on tasks over seeds (YAML file or name), with intervals and a report."""
    options = parse(_SuiteOptions, words, "suite")
    require_report()
    workers = check_workers(options.workers)
    suite, folder = _resolve(options)
    try:
        loop = run_suite(suite, folder, workers, shlex.join(["expertgen", "suite", *words]))
        standings = watch(loop, suite, CONSOLE, workers)
    except (KeyboardInterrupt, ExpertgenError):
        if (folder / "suite.json").exists():
            print(f"expertgen: stopped; continue with: expertgen suite --resume {folder}", file=sys.stderr)
        raise
    if not CONSOLE.is_terminal:
        CONSOLE.print(standings_table(standings, suite, 0.0, workers))
    CONSOLE.print(f"report   {write_suite_report(folder)}\nresults  {folder / 'results.csv'}")
    failed = {n: member_folder(folder, s.member) / "log.txt" for n, s in standings.items() if s.state == "failed"}
    if failed:
        names = ", ".join(f"{name} (log: {log})" for name, log in failed.items())
        raise TrainingError(
            f"{len(failed)} of {len(standings)} runs failed: {names}; try them again with: "
            f"expertgen suite --resume {folder}"
        )
    if outside := outside_reference(suite, standings):
        raise TrainingError(f"outside of the suite's reference: {'; '.join(outside)}")


def _resolve(options: _SuiteOptions) -> tuple[Suite, Path]:
    """The suite that the command line means, and its folder."""
    if options.resume is not None:
        for name in ("suite", "out", "seeds", "tasks", "methods"):
            if getattr(options, name) is not None:
                raise UsageError(f"--resume {options.resume} knows its {name}; leave that out, or start a new suite")
        return read_suite(options.resume), options.resume
    if options.suite is None:
        raise UsageError(f"which suite? A YAML file, or one of {', '.join(built_in_suites())}")
    suite = narrowed(find_suite(options.suite), options.tasks, options.methods)
    if options.seeds is not None:
        suite = suite_from(replace(suite, seeds=options.seeds).to_json(), "--seeds")
    return suite, new_folder(options.out or free(Path("suites") / suite.name))
