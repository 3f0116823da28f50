"""Inputs of a run: demonstrations are collected or read, and files that do not fit are refused first."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import torch

from expertgen.demos.collect import collect
from expertgen.demos.exchange import import_demos
from expertgen.demos.program import load_program
from expertgen.demos.scripted import imperfect_demonstrator, scripted_program, source_name
from expertgen.demos.store import DemoSet, is_demoset
from expertgen.distillation.student import make_student_env
from expertgen.errors import UsageError
from expertgen.pipeline.settings import RunConfig
from expertgen.prior.prior import DiffusionPrior
from expertgen.prior.probe import probe
from expertgen.runs.machine import available_cores
from expertgen.runs.progress import StageProgress
from expertgen.runs.seeding import torch_generator
from expertgen.steering.expert import Expert
from expertgen.tasks.registry import make_env
from expertgen.tasks.spec import TaskSpec


def collect_demos(task: TaskSpec, config: RunConfig) -> Generator[StageProgress, None, DemoSet]:
    """Collects demonstrations: by the given program, or by the task's scripted demonstrator with its imperfections."""
    if config.program is not None:
        make_program, source = load_program(config.program, task), config.program.name
    else:
        imperfections = config.demos.imperfections
        make_program, source = imperfect_demonstrator(task, imperfections), source_name(imperfections)
    num_envs = min(config.demos.num_envs, config.demos.episodes)
    with closing(make_env(task, num_envs, threads=available_cores())) as env:
        return (yield from collect(env, make_program, config.demos.episodes, config.seed, source, config.demos.keep))


def read_demos(path: Path, task: TaskSpec) -> DemoSet:
    """Reads demonstrations of our own format, or of another one that can be recognized (`demos.exchange`).

    Args:
        path: the file or folder.
        task: what they demonstrate.

    Raises:
        UsageError: if they are broken or do not fit the task.
    """
    if not is_demoset(path):
        return import_demos(path, task)
    demos = DemoSet.load(path)
    demos.check(task)
    return demos


def check_inputs(config: RunConfig, task: TaskSpec) -> None:
    """Refuses what would only be found out later: files that do not fit, simulators that cannot be made.

    Raises:
        UsageError: naming what is wrong, before anything is written.
    """
    priors: dict[str, DiffusionPrior] = {}
    if config.demos_file is not None:
        read_demos(config.demos_file, task)
    if config.program is not None:
        load_program(config.program, task)
    if config.prior_file is not None:
        prior = priors[f"prior_file {config.prior_file}"] = DiffusionPrior.load(config.prior_file)
        config.steer.noise_space.action_size(prior.noise_shape)
    if config.expert_file is not None:
        priors[f"expert_file {config.expert_file}"] = Expert.load(config.expert_file).prior
    for what, prior in priors.items():
        _fits(prior, task, what)
    if not any((config.demos_file, config.program, config.prior_file, config.expert_file)):
        scripted_program(task)
    if config.until == "student" and task.cameras:
        make_student_env(task, 1).close()
    with closing(make_env(task, 16 if priors else 1)) as env:
        for what, prior in priors.items():
            starts = torch.from_numpy(env.reset(seed=config.seed)[0])
            try:
                probe(prior, starts, torch_generator(config.seed, "inputs", "probe"))
            except UsageError as error:
                raise UsageError(f"{what}: {error}") from None


def _fits(prior: DiffusionPrior, task: TaskSpec, what: str) -> None:
    """Refuses a prior, alone or inside an expert, that cannot act in a task."""
    chunk_length, action_size = prior.noise_shape
    if prior.task != task.id or prior.observation_size != task.observation_size:
        raise UsageError(
            f"{what} was trained for {prior.task!r} ({prior.observation_size} observations), not for {task.id!r}"
        )
    if action_size != task.action_size:
        raise UsageError(f"{what} plans {action_size} action dimensions, but {task.id!r} has {task.action_size}")
    if chunk_length > task.horizon:
        raise UsageError(
            f"{what} plans chunks of {chunk_length} steps, which exceed the horizon of {task.id!r} "
            f"({task.horizon} steps)"
        )
