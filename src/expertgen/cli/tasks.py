"""Verbs of tasks and of the machine: list, show, audit, examine."""

from __future__ import annotations

from rich.table import Table

from expertgen.cli.parsing import CONSOLE
from expertgen.runs.progress import follow
from expertgen.tasks.registry import get_task, task_names


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
