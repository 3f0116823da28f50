"""Inputs of a run: demonstrations are collected or read, and files that do not fit are refused first."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import torch

from expertgen.demos.collect import collect
from expertgen.demos.importers import import_npz, import_robomimic
from expertgen.demos.program import MakeProgram, ProgramBatch, load_program
from expertgen.demos.sandbox.programs import SandboxedPrograms
from expertgen.demos.scripted import find_script, imperfect_demonstrator, source_name
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
    demos = config.demos
    num_envs = min(demos.num_envs, demos.episodes)
    with (
        demonstrator(task, config) as (program, source),
        closing(make_env(task, num_envs, threads=available_cores())) as env,
    ):
        return (yield from collect(env, program, demos.episodes, config.seed, source, demos.keep))


@contextmanager
def demonstrator(task: TaskSpec, config: RunConfig) -> Iterator[tuple[MakeProgram | ProgramBatch, str]]:
    """Who demonstrates, ready to, and what stands as the source in the file.

    Raises:
        UsageError: if the program is none, or cannot be confined here, or the task has no scripted demonstrator.
    """
    if config.program is None:
        imperfections = config.demos.imperfections
        yield imperfect_demonstrator(task, imperfections), source_name(task, imperfections)
    elif config.sandbox:
        with SandboxedPrograms(config.program, task) as programs:
            yield programs, config.program.name
    else:
        yield load_program(config.program, task), config.program.name


def read_demos(path: Path, task: TaskSpec, skip_broken: bool = False, clip: bool = True) -> DemoSet:
    """Reads demonstrations of any format we know: npz, robomimic HDF5, or our own.

    Args:
        path: the file.
        task: what they demonstrate.
        skip_broken: leave broken episodes out instead of refusing the file.
        clip: clip actions slightly out of range; otherwise they are a defect, as they always are in our own format.

    Raises:
        UsageError: if the file is broken or does not fit the task.
    """
    if path.suffix == ".npz":
        return import_npz(path, task, path.name, clip=clip, skip_broken=skip_broken)
    if not is_demoset(path):
        return import_robomimic(path, task, path.name, clip=clip, skip_broken=skip_broken)
    demos = DemoSet.load(path, skip_broken)
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
        with demonstrator(task, config):
            pass
    if config.prior_file is not None:
        prior = priors[f"prior_file {config.prior_file}"] = DiffusionPrior.load(config.prior_file)
        config.steer.noise_space.action_size(prior.noise_shape)
    if config.expert_file is not None:
        priors[f"expert_file {config.expert_file}"] = Expert.load(config.expert_file).prior
    for what, prior in priors.items():
        _fits(prior, task, what)
    if not any((config.demos_file, config.program, config.prior_file, config.expert_file)):
        find_script(task)
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
