"""Measuring policies of a run: one function for all of them, on the same held-out episodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from expertgen.baselines.learn import load_baseline
from expertgen.demos.store import DemoSet
from expertgen.distillation.student import Student, StudentPolicy, make_student_env
from expertgen.evaluation.evaluate import Evaluation, save_episodes, summarize
from expertgen.evaluation.policy import Policy
from expertgen.evaluation.results import Results
from expertgen.evaluation.rollouts import Episode, run_episodes
from expertgen.evaluation.seeds import EVALUATION_SEED
from expertgen.pipeline.settings import RunConfig
from expertgen.prior.prior import DiffusionPrior, PriorPolicy
from expertgen.reporting.noise import NoisePicture
from expertgen.runs.checkpoint import load_checkpoint
from expertgen.runs.config import overlay, read_yaml
from expertgen.runs.files import read_json, write_json
from expertgen.runs.machine import PeakMemory, available_cores, package_versions
from expertgen.runs.progress import StageProgress
from expertgen.runs.seeding import torch_generator
from expertgen.steering.expert import Expert, ExpertPolicy
from expertgen.steering.steer import SteerConfig
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task, make_env
from expertgen.tasks.spec import TaskSpec

WITH_CAMERAS = ("teacher", "student", "bc_student", "blind_student")
"""What is measured in the students' simulator."""

POLICY_FILES = {
    "prior": "prior/prior.safetensors",
    "zero_noise": "prior/prior.safetensors",
    "constant_noise": "constant_noise/noise.safetensors",
    "expert": "expert/expert.safetensors",
    "teacher": "expert/expert.safetensors",
    "student": "student/student.safetensors",
    "bc_student": "bc_student/student.safetensors",
    "blind_student": "blind_student/student.safetensors",
}
"""What each policy of a run is loaded from, within its folder."""


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
        tape = _NoiseTape(policy) if folder.name == "expert" and isinstance(policy, ExpertPolicy) else None
        player, stage = tape or policy, f"evaluate {folder.name}"
        episodes = yield from run_episodes(world, player, number.episodes, EVALUATION_SEED, stage)
        if env is None:
            world.close()
        save_episodes(folder / "episodes.json", episodes, EVALUATION_SEED)
        if tape:
            tape.picture(episodes).save(folder / "noise.json")
        evaluation = summarize(episodes, EVALUATION_SEED, seconds, task, demos_of(folder.parent))
        write_json(path, replace(evaluation, env_steps=env_steps).to_json())
    return Evaluation.from_json(read_json(path))


def demos_of(folder: Path) -> DemoSet | None:
    """The demonstrations of a run, if it has any."""
    path = folder / "demos" / "demos.h5"
    return DemoSet.load(path) if path.exists() else None


def play_env(task: TaskSpec, num_envs: int, with_cameras: bool) -> TaskEnv:
    """Environments where a run plays its students (`with_cameras`), or all other policies."""
    return make_student_env(task, num_envs) if with_cameras else make_env(task, num_envs, threads=available_cores())


def saved_policies(folder: Path, config: RunConfig, env: TaskEnv) -> dict[str, Policy]:
    """The policies that a run has made so far, by the name of their stage or control.

    Args:
        folder: the run folder.
        config: its configuration.
        env: where they will play; students look through the cameras of this very environment. They, and the expert as
            their teacher, are left out where it has none.
    """
    policies: dict[str, Policy] = {}
    if (path := folder / POLICY_FILES["prior"]).exists():
        prior, device = DiffusionPrior.load(path).to(config.device), config.device
        generator = torch_generator(config.seed, "prior", "evaluation")
        policies["prior"] = PriorPolicy(prior, generator, device=device)
        policies["zero_noise"] = PriorPolicy(prior, device=device)
        if (path := folder / POLICY_FILES["constant_noise"]).exists():
            noise = load_checkpoint(path, "constant-noise", 1)[0]["noise"]
            policies["constant_noise"] = PriorPolicy(prior, noise=noise, device=device)
    if (path := folder / POLICY_FILES["expert"]).exists():
        options = config.method_options
        expert = Expert.load(path) if isinstance(options, SteerConfig) else load_baseline(path, options)
        policies["expert"] = expert.to(config.device).policy(config.seed)
    if isinstance(env, MetaWorldEnv):
        if "expert" in policies:
            policies["teacher"] = policies["expert"]
        for name in ("student", "bc_student", "blind_student"):
            if (path := folder / POLICY_FILES[name]).exists():
                policies[name] = StudentPolicy(Student.load(path).to(config.device), env, seed=config.seed)
    return policies


def evaluate_run(folder: Path, episodes: int, env_seed: int, command: str) -> Generator[StageProgress, None, Results]:
    """Plays the policies of a run again, each in the simulator where the run evaluated it.

    Args:
        folder: the run folder; nothing is written there.
        episodes: episodes of every policy.
        env_seed: environment seed.
        command: what the user typed, for the record.

    Returns:
        results in which what making a policy took (`seconds`, `env_steps`), and the demonstrations, are the run's.

    Raises:
        FileError: if the folder is not a run folder.
    """
    made = Results.load(folder / "results.json")
    config = overlay(RunConfig(made.task), read_yaml(folder / "config.json"))
    task = get_task(config.task)
    demos = demos_of(folder)
    stages = {"demos": made.stages["demos"]} if "demos" in made.stages else {}
    num_envs = min(config.evaluation.num_envs, episodes)
    with PeakMemory() as memory:
        for of_students in (False, True) if any(name in made.stages for name in WITH_CAMERAS) else (False,):
            with closing(play_env(task, num_envs, of_students)) as env:
                policies = saved_policies(folder, config, env)
                for name in (n for n in policies if (n in WITH_CAMERAS) == of_students):
                    played = yield from run_episodes(env, policies[name], episodes, env_seed, f"evaluate {name}")
                    took = made.stages.get(name)
                    evaluation = summarize(played, env_seed, took.seconds if took else 0.0, task, demos)
                    stages[name] = replace(evaluation, env_steps=took.env_steps if took else 0)
        peak = memory.look()
    return replace(made, stages=stages, command=command, versions=package_versions(), peak_memory_mb=peak)


class _NoiseTape:
    """An expert whose noise is written down as it plays.

    Args:
        policy: the expert.
    """

    def __init__(self, policy: ExpertPolicy) -> None:
        self._policy = policy
        self._noise: defaultdict[int, list[np.ndarray]] = defaultdict(list)
        self.chunk_length = policy.chunk_length

    def reset(self, ids: np.ndarray) -> None:
        """See `expertgen.evaluation.policy.Policy.reset`."""
        self._policy.reset(ids)

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """See `expertgen.evaluation.policy.Policy.plan`."""
        chunk = self._policy.plan(observation, ids)
        for i, noise in zip(ids.tolist(), self._policy.noise.cpu().numpy(), strict=True):
            self._noise[i].append(noise)
        return chunk

    def picture(self, episodes: list[Episode]) -> NoisePicture:
        """The noise of these episodes, all that were played, ordered by environment and index."""
        noise = np.concatenate([self._noise[i] for i in sorted(self._noise)])
        decisions = [-(-episode.steps // self.chunk_length) for episode in episodes]
        success = np.repeat([episode.success for episode in episodes], decisions)
        picked = np.linspace(0, len(noise) - 1, min(len(noise), 1000)).astype(int)
        return NoisePicture.project(noise[picked], success[picked], self._policy.expert.space.bound)
