"""All tasks by name: built-in ones, those of installed packages (entry points) and those of a user's module."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from expertgen.errors import UsageError, nearest, warn
from expertgen.tasks.audit_record import shipped_record, versions_changed
from expertgen.tasks.bimanual import bimanual_tasks
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.envpool_env import EnvPoolEnv
from expertgen.tasks.envpool_specs import adroit_tasks, locomotion_tasks
from expertgen.tasks.fetch_specs import fetch_tasks
from expertgen.tasks.gymnasium_env import GymnasiumEnv
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.metaworld_specs import metaworld_tasks
from expertgen.tasks.parallel import ParallelEnv
from expertgen.tasks.spec import TaskSpec

ENTRY_POINT_GROUP = "expertgen.tasks"
"""Each entry point of this group is a `TaskSpec`, an iterable of them, or a callable that returns either."""

SIMULATORS = ("envpool", "metaworld", "gymnasium")
"""The adapters that `make_env` knows by name."""


def task_names() -> list[str]:
    """Returns the names of all built-in and installed tasks, built-in ones first."""
    return list(_tasks())


def get_task(name: str) -> TaskSpec:
    """Returns the task of that name.

    Args:
        name: one of `task_names()`, or `"module:attribute"` for a `TaskSpec` in any module that can be imported from
            the working directory or the environment, e.g. `"my_tasks:PUSH"`.

    Raises:
        UsageError: if there is no such task; the text names the nearest ones.
    """
    if ":" in name:
        task = _import(name, f"task {name!r}")
        if not isinstance(task, TaskSpec):
            raise UsageError(f"task {name!r} is a {type(task).__name__}, not a TaskSpec")
        return task
    tasks = _tasks()
    if name not in tasks:
        known = nearest(name, tasks) or "; `expertgen tasks` lists them all"
        raise UsageError(f"unknown task {name!r}{known}")
    return tasks[name]


def make_env(
    task: TaskSpec, num_envs: int, *, threads: int = 1, simulator: str | None = None, allow_unsound: bool = False
) -> TaskEnv:
    """Makes `num_envs` environments of a task.

    Args:
        task: what is to be done.
        num_envs: number of environments `N`.
        threads: threads (EnvPool) or worker processes (the others) that simulate. The results do not depend on it.
        simulator: one of `SIMULATORS`, or `"module:attribute"` of a factory `(task, num_envs, threads) -> TaskEnv`; by
            default the task's own.
        allow_unsound: run the task in EnvPool even though it failed its audit there.

    Raises:
        UsageError: for an unknown simulator or impossible numbers, and for a task that fails its audit in EnvPool.
    """
    simulator = simulator or task.simulator
    for name, value in (("num_envs", num_envs), ("threads", threads)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, got {value}")
    if ":" in simulator:
        factory: Callable[[TaskSpec, int, int], TaskEnv] = _import(simulator, f"simulator {simulator!r}")
        return factory(task, num_envs, threads)
    if simulator == "envpool":
        if not allow_unsound:
            _refuse_unsound(task)
        return EnvPoolEnv(task, num_envs, threads)
    adapters = {"metaworld": MetaWorldEnv, "gymnasium": GymnasiumEnv}
    if simulator not in adapters:
        raise UsageError(f"unknown simulator {simulator!r}{nearest(simulator, SIMULATORS)}")
    adapter = adapters[simulator]
    return adapter(task, num_envs) if threads == 1 else ParallelEnv(task, adapter, num_envs, threads)


def _refuse_unsound(task: TaskSpec) -> None:
    if not task.simulator_id.startswith("MetaWorld/"):
        return
    _warn_of_other_versions()
    record = shipped_record()
    audit = record.tasks.get(task.id)
    if audit is not None and not audit.sound:
        raise UsageError(
            f"task {task.id!r} fails its audit in EnvPool {record.versions['envpool']} ({audit.defects[0]}): "
            "use simulator='metaworld', or make_env(..., allow_unsound=True) to run it all the same"
        )


@cache
def _warn_of_other_versions() -> None:
    """Once is enough."""
    if changed := versions_changed():
        warn(f"the tasks were audited with {shipped_record().versions}, here are {changed}: run expertgen tasks audit")


@cache
def _tasks() -> dict[str, TaskSpec]:
    built_in = (*metaworld_tasks(), *adroit_tasks(), *fetch_tasks(), *bimanual_tasks(), *locomotion_tasks())
    found = {task.id: task for task in built_in}
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            theirs = {task.id: task for task in _as_tasks(entry_point.load())}
        except Exception as error:  # whatever is wrong with somebody's package, the other tasks are there
            warn(f"the tasks of entry point {entry_point.value!r} are left out: {_said(error)}")
            continue
        for name in theirs.keys() & found.keys():
            warn(f"entry point {entry_point.value!r}: a task named {name!r} exists already; theirs is left out")
        found |= {name: task for name, task in theirs.items() if name not in found}
    return found


def _as_tasks(loaded: Any) -> Iterable[TaskSpec]:
    if callable(loaded):
        loaded = loaded()
    tasks = [loaded] if isinstance(loaded, TaskSpec) else list(loaded)
    for task in tasks:
        if not isinstance(task, TaskSpec):
            raise TypeError(f"it gave a {type(task).__name__}, not a TaskSpec")
    return tasks


def _import(path: str, what: str) -> Any:
    module_name, _, attribute = path.partition(":")
    if os.getcwd() not in sys.path:  # an installed command does not look there by itself
        sys.path.append(os.getcwd())
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # the module is a user's: it may fail in any way
        raise UsageError(f"{what} cannot be imported: {_said(error)}") from error


def _said(error: Exception) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
