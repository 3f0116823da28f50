"""Inputs of a run: demonstrations are collected or read, and files that do not fit are refused first."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import torch

from expertgen.demos.collect import collect, only_successes
from expertgen.demos.exchange import import_demos
from expertgen.demos.library import program_file
from expertgen.demos.mix import merge
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
from expertgen.runs.seeding import derive_seed, torch_generator
from expertgen.steering.expert import Expert
from expertgen.tasks.episodes import cohort
from expertgen.tasks.registry import make_env
from expertgen.tasks.spec import TaskSpec


def collect_demos(task: TaskSpec, config: RunConfig) -> Generator[StageProgress, None, DemoSet]:
    """Collects demonstrations: by the given programs, or by the task's scripted demonstrator with its imperfections.

    Several programs share the episodes, one after the other. The first one plays the episodes that it would play alone.
    """
    demos, parts = config.demos, []
    programs = config.program or (None,)
    for number, episodes in enumerate(cohort(demos.episodes, len(programs)).tolist()):
        seed = derive_seed(config.seed, "program", number) if number else config.seed
        num_envs = min(demos.num_envs, episodes)
        with (
            demonstrator(task, config, programs[number]) as (program, source),
            closing(make_env(task, num_envs, threads=available_cores())) as env,
        ):
            parts.append((yield from collect(env, program, episodes, seed, source)))
    whole = merge(parts)
    if demos.keep == "all":
        return whole
    kept = only_successes(whole)
    for note in kept.notes[len(whole.notes) :]:
        yield StageProgress("demos", demos.episodes, demos.episodes, "episodes", warning=note)
    return kept


@contextmanager
def demonstrator(
    task: TaskSpec, config: RunConfig, program: Path | None
) -> Iterator[tuple[MakeProgram | ProgramBatch, str]]:
    """Who demonstrates, ready to, and what stands as the source in the file.

    Args:
        task: what is demonstrated.
        config: imperfections of scripted demonstrators, and whether programs run in the sandbox.
        program: a file or the name of a shipped program; None for the task's scripted demonstrator.

    Raises:
        UsageError: if the program is none, or cannot be confined here, or the task has no scripted demonstrator.
    """
    if program is None:
        imperfections = config.demos.imperfections
        yield imperfect_demonstrator(task, imperfections), source_name(task, imperfections)
    else:
        with open_program(path := program_file(program), task, config.sandbox) as programs:
            yield programs, path.name


@contextmanager
def open_program(path: Path, task: TaskSpec, sandbox: bool) -> Iterator[MakeProgram | ProgramBatch]:
    """A program, ready to run: in the sandbox, or with the rights of this process.

    Raises:
        FileError: if the file is missing, or no fitting program.
        UsageError: if this machine cannot confine it.
    """
    if sandbox:
        with SandboxedPrograms(path, task) as programs:
            yield programs
    else:
        yield load_program(path, task)


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
    for program in config.program or ():
        with demonstrator(task, config, program):
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
