"""Inputs of a run: demonstrations are collected or read, and files that do not fit are refused first."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from expertgen.demos.collect import collect
from expertgen.demos.importers import import_npz, import_robomimic
from expertgen.demos.program import load_program
from expertgen.demos.scripted import SOURCE, imperfect_demonstrator
from expertgen.demos.store import DemoSet, is_demoset
from expertgen.errors import UsageError
from expertgen.pipeline.settings import RunConfig
from expertgen.prior.prior import DiffusionPrior
from expertgen.runs.machine import available_cores
from expertgen.runs.progress import StageProgress
from expertgen.steering.expert import Expert
from expertgen.tasks.registry import make_env
from expertgen.tasks.spec import TaskSpec


def collect_demos(task: TaskSpec, config: RunConfig) -> Generator[StageProgress, None, DemoSet]:
    """Collects demonstrations: by the given program, or by the task's scripted demonstrator with its imperfections."""
    if config.program is not None:
        make_program, source = load_program(config.program, task), config.program.name
    else:
        make_program, source = imperfect_demonstrator(task, config.demos.imperfections), SOURCE
    with closing(make_env(task, config.demos.num_envs, threads=available_cores())) as env:
        return (yield from collect(env, make_program, config.demos.episodes, config.seed, source, config.demos.keep))


def read_demos(path: Path, task: TaskSpec, skip_broken: bool = False) -> DemoSet:
    """Reads demonstrations of any format we know: npz, robomimic HDF5, or our own.

    Args:
        path: the file.
        task: what they demonstrate.
        skip_broken: leave broken episodes out instead of refusing the file.

    Raises:
        FileError: if the file is broken or does not fit the task.
    """
    if path.suffix == ".npz":
        return import_npz(path, task, source=path.name, skip_broken=skip_broken)
    if is_demoset(path):
        return DemoSet.load(path, skip_broken)
    return import_robomimic(path, task, source=path.name, skip_broken=skip_broken)


def check_inputs(config: RunConfig, task: TaskSpec) -> None:
    """Reads every file that a run is given, so that a wrong one is refused before anything is written."""
    if config.demos_file is not None:
        read_demos(config.demos_file, task).check(task)
    if config.program is not None:
        load_program(config.program, task)
    if config.prior_file is not None:
        prior = DiffusionPrior.load(config.prior_file)
        _fits(prior.task, prior.observation_size, task, f"prior_file {config.prior_file}")
    if config.expert_file is not None:
        prior = Expert.load(config.expert_file).prior
        _fits(prior.task, prior.observation_size, task, f"expert_file {config.expert_file}")


def _fits(trained_for: str, observation_size: int, task: TaskSpec, what: str) -> None:
    if trained_for != task.id or observation_size != task.observation_size:
        raise UsageError(
            f"{what} was trained for {trained_for!r} ({observation_size} observations), not for {task.id!r}"
        )
