"""The verb of model-based reinforcement learning."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from expertgen.cli.options import SettingsOptions, parse_unchecked, parse_with, saved_settings
from expertgen.cli.parsing import CONSOLE, free, new_folder
from expertgen.errors import ExpertgenError, UsageError
from expertgen.mbrl.run import MbrlConfig, default_settings, run_mbrl
from expertgen.reporting.mbrl import write_mbrl_report
from expertgen.reporting.page import require_report
from expertgen.runs.config import overlay, read_yaml
from expertgen.runs.progress import follow
from expertgen.tasks.registry import get_task

_EXAMPLE_TASK = "inverted-double-pendulum"


@dataclass(frozen=True)
class _MbrlOptions(SettingsOptions):
    """Settings come from the task's preset, then the file, then the flags; later ones win."""

    settings: Annotated[MbrlConfig, tyro.conf.arg(name="")]
    """How everything is done."""


def mbrl_verb(words: list[str]) -> None:
    """Learn a task with dense rewards in a world model whose data are weighted."""
    folder, config = _resolve(words)
    require_report()
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
    CONSOLE.print(f"report   {write_mbrl_report(folder)}\nresults  {folder / 'results.json'}")


def _resolve(words: list[str]) -> tuple[Path, MbrlConfig]:
    """Returns the run folder and the settings that the command line means."""
    options = parse_unchecked(_MbrlOptions, words, "mbrl", MbrlConfig(_EXAMPLE_TASK))
    if options.resume is not None:
        saved = saved_settings(options.resume, options.task, words)
        return options.resume, overlay(MbrlConfig(str(saved["task"]), termination="learned"), saved)
    file = read_yaml(options.config) if options.config is not None else {}
    task = options.task or file.get("task")
    if task is None:
        raise UsageError(f"which task? For example: expertgen mbrl {_EXAMPLE_TASK}; `expertgen tasks` lists them")
    changes = {**file, "task": str(task)}
    settings = parse_with(options, overlay(default_settings(str(task)), changes, check=False), words, "mbrl")
    name = f"mbrl-{get_task(settings.task).id}-{settings.weighting}-{settings.seed}"
    return new_folder(options.out or free(Path("runs") / name)), settings
