"""The verbs of demonstration programs: let a language model write some, list those that are there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from expertgen.cli.parsing import CONSOLE, free, new_folder, parse
from expertgen.demos.library import shipped_programs
from expertgen.demos.writing.answers import summary_of
from expertgen.demos.writing.models import connect
from expertgen.errors import UsageError
from expertgen.pipeline.writing import WriteConfig, Written, check_writing, first_prompt, saved_config, write_programs
from expertgen.runs.progress import follow
from expertgen.tasks.registry import get_task


def demos_write(words: list[str]) -> None:
    """Let a language model write programs that demonstrate a task."""

    @dataclass(frozen=True)
    class Write:
        task: Annotated[str | None, tyro.conf.Positional] = None
        """Task id."""
        out: Path | None = None
        """Folder to create; by default programs/TASK."""
        resume: Path | None = None
        """Folder to continue; needs nothing else."""
        replay: Path | None = None
        """Folder whose recorded answers are gone through again, without a model; needs nothing else."""
        dry_run: bool = False
        """Print the first prompt; nothing is sent, nothing is written."""
        settings: Annotated[WriteConfig, tyro.conf.arg(name="")] = field(default_factory=lambda: WriteConfig(""))
        """How they are written."""

    options = parse(Write, words, "demos write")
    earlier = options.resume or options.replay
    if earlier is None:
        if options.task is None:
            raise UsageError("which task? For example: expertgen demos write pick-place --model NAME")
        config = replace(options.settings, task=get_task(options.task).id if ":" not in options.task else options.task)
    elif options.resume and options.replay:
        raise UsageError("--resume and --replay exclude each other; choose one")
    elif options.settings != WriteConfig("") or options.task is not None or options.dry_run:
        flag = "--resume" if options.resume else "--replay"
        raise UsageError(f"{flag} {earlier} goes on with the settings in that folder; leave the others out")
    else:
        config = saved_config(earlier)
    check_writing(config)
    if options.dry_run:
        CONSOLE.print(first_prompt(config), markup=False, highlight=False, soft_wrap=True)
        return
    model = None if options.replay else connect(config.model)
    folder = options.resume or new_folder(options.out or free(Path("programs") / config.task.rpartition(":")[2]))
    _show(config, folder, follow(write_programs(config, folder, model, options.replay), CONSOLE))


def demos_programs(words: list[str]) -> None:
    """List the demonstration programs that come with the package."""

    @dataclass(frozen=True)
    class Programs:
        task: Annotated[str | None, tyro.conf.Positional] = None
        """Task id; without it, programs of all tasks."""

    task = parse(Programs, words, "demos programs").task
    table = Table("program", "what it does")
    for name, path in shipped_programs().items():
        if task is None or path.parent.name == get_task(task).id:
            table.add_row(name, summary_of(path.read_text("utf-8")))
    CONSOLE.print(table)


def _show(config: WriteConfig, folder: Path, written: Written) -> None:
    table = Table("program", "round", "success", "95%", "could not go on", "answered by", title=config.task)
    for version in written.versions:
        row = ("no program", "", "")
        if trial := version.trial:
            failed = str(sum(trial.failures.values()) or "")
            row = (f"{trial.success:.0%} of {trial.episodes}", f"{trial.low:.0%} to {trial.high:.0%}", failed)
        table.add_row(str(version.program), str(version.round), *row, version.answer.model)
    CONSOLE.print(table)
    cost = "" if written.cost is None else f", cost {written.cost:.4g}"
    CONSOLE.print(f"tokens   {written.tokens_in} in prompts, {written.tokens_out} in answers{cost}")
    CONSOLE.print(f"folder   {folder}")
    if written.kept:
        files = " ".join(map(str, written.kept))
        CONSOLE.print(f"next     expertgen demos collect {config.task} --program {files}", soft_wrap=True)
    else:
        CONSOLE.print("no version ever succeeded: ask for more rounds, or another model")
