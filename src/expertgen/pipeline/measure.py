"""Measuring policies of a run: one function for all of them, on the same held-out episodes."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from expertgen.demos.store import DemoSet
from expertgen.distillation.student import Student, StudentPolicy, make_student_env
from expertgen.evaluation.evaluate import Evaluation, save_episodes, summarize
from expertgen.evaluation.policy import Policy
from expertgen.evaluation.results import Results
from expertgen.evaluation.rollouts import Episode, run_episodes
from expertgen.pipeline.settings import RunConfig
from expertgen.prior.prior import DiffusionPrior, PriorPolicy
from expertgen.reporting.noise import NoisePicture
from expertgen.runs.checkpoint import load_checkpoint
from expertgen.runs.config import overlay, read_yaml
from expertgen.runs.files import read_json, write_json
from expertgen.runs.machine import available_cores, peak_memory_mb
from expertgen.runs.progress import StageProgress
from expertgen.runs.seeding import torch_generator
from expertgen.steering.expert import Expert, ExpertPolicy
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task, make_env

EVALUATION_SEED = 999
"""Environment seed of every reported success rate: the same for all policies and runs, and used for nothing else."""


def measure(
    config: RunConfig,
    folder: Path,
    policy: Policy,
    seconds: float = 0.0,
    env_steps: int = 0,
    env: TaskEnv | None = None,
) -> Generator[StageProgress, None, Evaluation]:
    """Plays the held-out episodes, or reads back what came of them.

    Args:
        config: settings of the run.
        folder: folder of the stage or control; its name is what is shown.
        policy: who plays.
        seconds: what it took to make the policy [s].
        env_steps: control steps that it learnt from.
        env: where it plays; by default the task's own simulator.
    """
    path, task, number = folder / "evaluation.json", get_task(config.task), config.evaluation
    if not path.exists():
        world = env or make_env(task, min(number.num_envs, number.episodes), threads=available_cores())
        episodes = yield from run_episodes(world, policy, number.episodes, EVALUATION_SEED, f"evaluate {folder.name}")
        if env is None:
            world.close()
        save_episodes(folder / "episodes.json", episodes, EVALUATION_SEED)
        if folder.name == "expert" and isinstance(policy, ExpertPolicy):
            _noise_picture(policy, episodes).save(folder / "noise.json")
        evaluation = summarize(episodes, EVALUATION_SEED, seconds, task, demos_of(folder.parent))
        write_json(path, replace(evaluation, env_steps=env_steps).to_json())
    return Evaluation.from_json(read_json(path))


def demos_of(folder: Path) -> DemoSet | None:
    """The demonstrations of a run, if it has any."""
    path = folder / "demos" / "demos.h5"
    return DemoSet.load(path) if path.exists() else None


def saved_policies(folder: Path, config: RunConfig, env: TaskEnv) -> dict[str, Policy]:
    """The policies that a run has made so far, by the name of their stage or control.

    Args:
        folder: the run folder.
        config: its configuration.
        env: where they will play; students look through the cameras of this very environment, and are left out where it
            has none.
    """
    policies: dict[str, Policy] = {}
    if (path := folder / "prior" / "prior.safetensors").exists():
        prior = DiffusionPrior.load(path)
        policies["prior"] = PriorPolicy(prior, torch_generator(config.seed, "prior", "evaluation"))
        policies["zero_noise"] = PriorPolicy(prior)
        if (path := folder / "constant_noise" / "noise.safetensors").exists():
            policies["constant_noise"] = PriorPolicy(
                prior, noise=load_checkpoint(path, "constant-noise", 1)[0]["noise"]
            )
    if (path := folder / "expert" / "expert.safetensors").exists():
        policies["expert"] = ExpertPolicy(Expert.load(path), config.seed)
    for name in ("student", "bc_student", "blind_student"):
        if isinstance(env, MetaWorldEnv) and (path := folder / name / "student.safetensors").exists():
            policies[name] = StudentPolicy(Student.load(path), env, seed=config.seed)
    return policies


def evaluate_run(folder: Path, episodes: int, env_seed: int) -> Generator[StageProgress, None, Results]:
    """Plays the policies of a run again, each in the simulator where the run evaluated it.

    Args:
        folder: the run folder; nothing is written there.
        episodes: episodes of every policy.
        env_seed: environment seed.

    Raises:
        FileError: if the folder is not a run folder.
    """
    results = Results.load(folder / "results.json")
    config = overlay(RunConfig(results.task), read_yaml(folder / "config.json"))
    task = get_task(config.task)
    demos = demos_of(folder)
    stages: dict[str, Evaluation] = {}
    num_envs = min(config.evaluation.num_envs, episodes)
    own = make_env(task, num_envs, threads=available_cores())
    worlds = [own, make_student_env(task, num_envs)] if task.cameras else [own]
    for env in worlds:
        with closing(env):
            for name, policy in saved_policies(folder, config, env).items():
                if isinstance(policy, StudentPolicy) == (env is not own):
                    start = time.monotonic()
                    played = yield from run_episodes(env, policy, episodes, env_seed, f"evaluate {name}")
                    stages[name] = summarize(played, env_seed, time.monotonic() - start, task, demos)
    return replace(results, stages=stages, notes={}, peak_memory_mb=peak_memory_mb())


def _noise_picture(policy: ExpertPolicy, episodes: list[Episode]) -> NoisePicture:
    """The noise an expert chooses at the decisions of these episodes."""
    horizon = policy.chunk_length
    rows = np.concatenate([episode.observations[: episode.steps : horizon] for episode in episodes])
    success = np.concatenate([np.full(-(-episode.steps // horizon), episode.success) for episode in episodes])
    noise = policy.expert.noise(torch.as_tensor(rows, device=policy.device), policy.mode, policy.generator)
    picked = np.linspace(0, len(rows) - 1, min(len(rows), 1000)).astype(int)
    return NoisePicture.project(noise.cpu().numpy()[picked], success[picked], policy.expert.noise_bound)
