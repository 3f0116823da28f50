"""Verbs of tasks and of the machine: list, show, audit, examine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.table import Column, Table

from expertgen.cli.parsing import CONSOLE, parse
from expertgen.errors import ExpertgenError
from expertgen.runs.progress import follow
from expertgen.tasks.audit_record import shipped_record
from expertgen.tasks.registry import get_task, task_names
from expertgen.tasks.spec import TaskSpec


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
        tasks = [get_task(name) for name in task_names()]
        names = Column("task", min_width=max(len(task.id) for task in tasks))  # whole, to be copied
        table = Table(names, "simulator", "obs", "act", "steps", "what is to be done")
        for task in tasks:
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
    if task.cameras:
        CONSOLE.print(f"cameras: {', '.join(camera.name for camera in task.cameras)}")
    CONSOLE.print(f"perturbations: {', '.join(task.perturbations)}")
    if task.note:
        CONSOLE.print(f"note: {task.note}")
    table = Table("field", "columns", "unit", "frame", "meaning")
    for one in task.fields:
        table.add_row(one.name, f"{one.start}:{one.stop}", one.unit, one.frame, one.meaning)
    CONSOLE.print(table)
