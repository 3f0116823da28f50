"""The whole way, in order: demonstrations, prior, expert, student. The one place that knows all the stages.

    demos ──► prior ──────────────► expert ─────────────► student
              zero_noise            (steering)            bc_student, blind_student
              constant_noise

Every stage has a folder of its own in the run folder, and every policy is evaluated by the same function on the same
held-out seeds. A finished stage is read back instead of done again, so a run that was killed is continued by calling
`run` once more.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro

from expertgen.demos.collect import CollectConfig, collect
from expertgen.demos.importers import import_npz, import_robomimic
from expertgen.demos.program import load_program
from expertgen.demos.scripted import SOURCE, imperfect_demonstrator
from expertgen.demos.store import DemoSet, is_demoset
from expertgen.distillation.dagger import DistillConfig, distill
from expertgen.distillation.student import Student, StudentPolicy, make_student_env
from expertgen.errors import FileError, UsageError
from expertgen.evaluation.evaluate import Evaluation, demo_episodes, save_episodes, summarize
from expertgen.evaluation.policy import Policy
from expertgen.evaluation.results import STAGES, Results
from expertgen.evaluation.rollouts import Episode, run_episodes
from expertgen.prior.prior import DiffusionPrior, PriorConfig, PriorPolicy
from expertgen.prior.probe import probe, search_constant_noise
from expertgen.prior.training import train_prior
from expertgen.reporting.film import film
from expertgen.reporting.noise import NoisePicture
from expertgen.runs.checkpoint import load_checkpoint, save_checkpoint
from expertgen.runs.config import overlay, plain, read_yaml
from expertgen.runs.files import read_json, write_json
from expertgen.runs.machine import (
    available_cores,
    die_with_parent,
    machine_description,
    package_versions,
    peak_memory_mb,
    prepare_process,
)
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import StageProgress, drain, timed
from expertgen.runs.seeding import torch_generator
from expertgen.steering.expert import Expert, ExpertPolicy
from expertgen.steering.steer import SteerConfig, steer
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task, make_env
from expertgen.tasks.spec import TaskSpec

EVALUATION_SEED = 999
"""Environment seed of every reported success rate: the same for all policies and runs, and used for nothing else."""

Stage = Literal["demos", "prior", "expert", "student"]


@dataclass(frozen=True)
class EvaluationConfig:
    """How success is measured."""

    episodes: int = 256
    """Held-out episodes of every policy."""
    num_envs: int = 64
    """Environments that play at the same time."""
    constant_noises: int = 64
    """Constant noises tried, to see what can be had without learning; 0 leaves this out."""
    films: bool = True
    """Film a success and a failure of every policy (where the simulator can be seen)."""

    def __post_init__(self) -> None:
        for name, least in (("episodes", 1), ("num_envs", 1), ("constant_noises", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"evaluation.{name} must be at least {least}, not {getattr(self, name)}")


@dataclass(frozen=True)
class RunConfig:
    """A run: what is to be done, from which inputs, how far, and how each stage does it."""

    task: tyro.conf.Suppress[str]
    """Task id."""
    seed: int = 0
    """Seed of everything random in the run; evaluation seeds are always the same."""
    device: str = "cpu"
    """Torch device: cpu, cuda, cuda:1 ..."""
    until: Stage = "student"
    """Last stage to do."""
    demos_file: Path | None = None
    """Demonstrations to use (expertgen or robomimic HDF5, npz) instead of collecting them."""
    program: Path | None = None
    """Demonstration program to run instead of the task's scripted demonstrator."""
    prior_file: Path | None = None
    """A trained prior to use instead of training one."""
    expert_file: Path | None = None
    """A steered expert to use instead of steering one."""
    tensorboard: bool = False
    """Write TensorBoard event files, too (extra `tensorboard`)."""
    demos: CollectConfig = field(default_factory=CollectConfig)
    """Collecting demonstrations."""
    prior: PriorConfig = field(default_factory=PriorConfig)
    """Training the prior."""
    steer: SteerConfig = field(default_factory=SteerConfig)
    """Steering the prior."""
    distill: DistillConfig = field(default_factory=DistillConfig)
    """Distilling the expert."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Measuring success."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"seed must not be negative, not {self.seed}")
        task = get_task(self.task)
        if (chunk := self.prior.chunk_length) > task.horizon:
            raise UsageError(f"prior.chunk_length ({chunk}) exceeds the horizon of {task.id!r} ({task.horizon} steps)")
        if task.success == "":
            raise UsageError(
                f"task {task.id!r} has no success rule, so it cannot be steered on success; choose another"
            )
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"device {self.device!r} cannot be used: {str(error).splitlines()[0]}") from None
        for name in ("demos_file", "program", "prior_file", "expert_file"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise FileError(f"{name}: {path} does not exist")


def run(config: RunConfig, folder: Path, command: str) -> Generator[StageProgress, None, Results]:
    """Does the stages of a run, or those that are left of it.

    Args:
        config: the resolved configuration.
        folder: the run folder; created if need be.
        command: what the user typed, for the record.

    Yields:
        progress of whatever is being done.

    Returns:
        the results, as in `results.json`.
    """
    return (yield from _Pipeline(config, folder, command).run())


class _Pipeline:
    """One run between its stages: where it is, and what has been measured so far."""

    def __init__(self, config: RunConfig, folder: Path, command: str) -> None:
        self.config = config
        self.folder = folder
        self.task = get_task(config.task)
        _check_inputs(config, self.task)
        if not (folder / "run.json").exists():
            about = {"task": config.task, "seed": config.seed, "command": command, "machine": machine_description()}
            write_json(folder / "config.json", plain(config))
            write_json(folder / "run.json", about | {"versions": package_versions()})
        about = read_json(folder / "run.json")
        self.results = Results(config.task, config.seed, about["command"], {}, 0.0, about["versions"])
        self.demos: DemoSet | None = None

    def run(self) -> Generator[StageProgress, None, Results]:
        """Does what is left to do."""
        config = self.config
        given = config.prior_file is not None or config.expert_file is not None
        if not given or config.demos_file is not None:
            yield from self._demonstrate()
        if config.until == "demos":
            return self.results
        if config.expert_file is not None:
            expert = Expert.load(config.expert_file)
        else:
            prior = yield from self._train_prior()
            if config.until == "prior":
                return self.results
            expert = yield from self._steer(prior)
        if config.until == "student" and self.task.cameras:
            yield from self._distill(expert)
        if self.task.cameras and config.evaluation.films:
            yield from self._film()
        return self.results

    def _film(self) -> Generator[StageProgress, None, None]:
        """Films a success and a failure of every policy; a run without the extra `vision` goes without."""
        with closing(make_student_env(self.task, 16)) as env:
            for name, policy in saved_policies(self.folder, self.config, env).items():
                folder = self.folder / name
                if name in STAGES and not list(folder.glob("*.mp4")):
                    yield from film(env, policy, folder, EVALUATION_SEED)

    def _demonstrate(self) -> Generator[StageProgress, None, None]:
        config, folder = self.config, self.folder / "demos"
        path = folder / "demos.h5"
        if not path.exists():
            if config.demos_file is not None:
                demos = read_demos(config.demos_file, self.task)
                write_json(folder / "seconds.json", {"seconds": 0.0})
            else:
                demos, _ = yield from timed(collect_demos(self.task, config), folder / "seconds.json")
            demos.save(path)
        self.demos = DemoSet.load(path)
        self.demos.check(self.task)
        episodes = demo_episodes(self.demos)
        seconds = read_json(folder / "seconds.json")["seconds"]
        save_episodes(folder / "episodes.json", episodes, config.seed)
        note = (
            ""
            if self.demos.successes
            else "no demonstration succeeds; steering reinforces only what happens at least sometimes"
        )
        self._record("demos", summarize(episodes, config.seed, seconds, self.task), note)

    def _train_prior(self) -> Generator[StageProgress, None, DiffusionPrior]:
        config, folder = self.config, self.folder / "prior"
        seconds = 0.0
        if config.prior_file is not None:
            prior = DiffusionPrior.load(config.prior_file).to(config.device)
            prior.save(folder / "prior.safetensors")
        else:
            assert self.demos is not None
            training = train_prior(self.demos, config.prior, config.seed, folder, config.device, config.tensorboard)
            prior, seconds = yield from timed(training, folder / "seconds.json")
        generator = torch_generator(config.seed, "prior", "evaluation")
        policy = PriorPolicy(prior, generator, device=config.device)
        normal = yield from self._evaluate("prior", policy, seconds)
        zero = yield from self._evaluate("zero_noise", PriorPolicy(prior, device=config.device))
        measured = {"success_normal": normal.success, "success_zero": zero.success}
        if config.evaluation.constant_noises:
            measured["success_best_constant"] = (yield from self._constant_noise(prior)).success
        spread = probe(prior, self._probe_observations(), torch_generator(config.seed, "prior", "probe"))
        write_json(folder / "steerability.json", {"chunk_spread": spread} | measured)
        return prior

    def _probe_observations(self) -> torch.Tensor:
        """Some 256 observations to probe a prior at: of the demonstrations, or start states where there are none."""
        if self.demos is not None:
            rows = np.concatenate([demo.observations for demo in self.demos.demos])
            return torch.from_numpy(rows[:: max(1, len(rows) // 256)]).to(self.config.device)
        with closing(make_env(self.task, 16)) as env:
            return torch.from_numpy(env.reset(seed=self.config.seed)[0]).to(self.config.device)

    def _constant_noise(self, prior: DiffusionPrior) -> Generator[StageProgress, None, Evaluation]:
        """The best of many constant noises, searched on training seeds and evaluated like everything else."""
        config, path = self.config, self.folder / "constant_noise" / "noise.safetensors"
        candidates = config.evaluation.constant_noises
        if not path.exists():
            search = search_constant_noise(self.task, prior, config.seed, candidates, device=config.device)
            noise, _ = yield from timed(search, path.with_name("seconds.json"))
            save_checkpoint(path, "constant-noise", 1, {"noise": noise}, {"task": self.task.id})
        noise = load_checkpoint(path, "constant-noise", 1)[0]["noise"]
        seconds = read_json(path.with_name("seconds.json"))["seconds"]
        policy = PriorPolicy(prior, noise=noise, device=config.device)
        return (yield from self._evaluate("constant_noise", policy, seconds, note=f"the best of {candidates}"))

    def _steer(self, prior: DiffusionPrior) -> Generator[StageProgress, None, Expert]:
        config, folder = self.config, self.folder / "expert"
        steering = steer(self.task, prior, config.steer, config.seed, folder, config.device, config.tensorboard)
        expert, _ = yield from timed(steering, folder / "seconds.json")
        last = read_metrics(folder)[-1]
        note = f"{expert.mode} noise, chosen on validation seeds ({expert.validated:.0%} success there)"
        yield from self._evaluate("expert", ExpertPolicy(expert, config.seed), last["seconds"], last["step"], note)
        return expert

    def _distill(self, expert: Expert) -> Generator[StageProgress, None, None]:
        """Student and controls: with two cores, the controls train in a second process meanwhile."""
        config = self.config
        expert.save(self.folder / "expert" / "expert.safetensors")
        with closing(make_student_env(self.task, config.evaluation.num_envs)) as env:
            note = "the expert in the student's simulator, on the student's episodes"
            yield from self._evaluate("teacher", ExpertPolicy(expert, config.seed), note=note, env=env)
            yield from self._train_students()
            for name in self._students():
                folder = self.folder / name
                policy = StudentPolicy(Student.load(folder / "student.safetensors"), env, seed=config.seed)
                seconds, steps = read_json(folder / "seconds.json")["seconds"], read_metrics(folder)[-1]["env_steps"]
                yield from self._evaluate(name, policy, seconds, steps, env=env)

    def _students(self) -> dict[str, DistillConfig]:
        """The student, and the two that show what DAgger and the cameras are worth."""
        student = self.config.distill
        cloned = replace(student, alpha_start=1.0, alpha_end=1.0)
        return {"student": student, "bc_student": cloned, "blind_student": replace(student, sight="blind")}

    def _train_students(self) -> Generator[StageProgress, None, None]:
        """Trains all students; with a second core, the controls in a second process meanwhile."""
        left = [name for name in self._students() if not (self.folder / name / "student.safetensors").exists()]
        aside = [name for name in left if name != "student" and available_cores() > 1]
        with ProcessPoolExecutor(1, get_context("spawn"), initializer=_prepare_worker) as worker:
            controls = [
                worker.submit(_drain_student, self.config, self.folder, name, self._students()[name]) for name in aside
            ]
            for name in (name for name in left if name not in aside):
                yield from _student(self.config, self.folder, name, self._students()[name])
            for done, control in enumerate(controls):
                yield StageProgress("controls", done, len(controls), "students")
                control.result()

    def _evaluate(
        self,
        name: str,
        policy: Policy,
        seconds: float = 0.0,
        env_steps: int = 0,
        note: str = "",
        env: TaskEnv | None = None,
    ) -> Generator[StageProgress, None, Evaluation]:
        """Plays the held-out episodes, or reads back what came of them."""
        folder, number = self.folder / name, self.config.evaluation
        path = folder / "evaluation.json"
        if not path.exists():
            world = env or make_env(self.task, number.num_envs, threads=available_cores())
            episodes = yield from run_episodes(world, policy, number.episodes, EVALUATION_SEED, f"evaluate {name}")
            if env is None:
                world.close()
            save_episodes(folder / "episodes.json", episodes, EVALUATION_SEED)
            evaluation = summarize(episodes, EVALUATION_SEED, seconds, self.task, self.demos)
            if isinstance(policy, ExpertPolicy) and name == "expert":
                _noise_picture(policy, episodes).save(folder / "noise.json")
            write_json(path, replace(evaluation, env_steps=env_steps).to_json())
        evaluation = Evaluation.from_json(read_json(path))
        self._record(name, evaluation, note)
        return evaluation

    def _record(self, name: str, evaluation: Evaluation, note: str) -> None:
        """Adds a stage to `results.json`, so that a stopped run shows what it got to."""
        self.results = replace(
            self.results,
            stages={**self.results.stages, name: evaluation},
            notes={**self.results.notes, **({name: note} if note else {})},
            peak_memory_mb=max(self.results.peak_memory_mb, peak_memory_mb()),
        )
        self.results.save(self.folder / "results.json")


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
    path = folder / "demos" / "demos.h5"
    demos = DemoSet.load(path) if path.exists() else None
    stages: dict[str, Evaluation] = {}
    own = make_env(task, config.evaluation.num_envs, threads=available_cores())
    worlds = [own, make_student_env(task, config.evaluation.num_envs)] if task.cameras else [own]
    for env in worlds:
        with closing(env):
            for name, policy in saved_policies(folder, config, env).items():
                if isinstance(policy, StudentPolicy) == (env is not own):
                    start = time.monotonic()
                    played = yield from run_episodes(env, policy, episodes, env_seed, f"evaluate {name}")
                    stages[name] = summarize(played, env_seed, time.monotonic() - start, task, demos)
    return replace(results, stages=stages, notes={}, peak_memory_mb=peak_memory_mb())


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


def _check_inputs(config: RunConfig, task: TaskSpec) -> None:
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


def _noise_picture(policy: ExpertPolicy, episodes: list[Episode]) -> NoisePicture:
    """The noise an expert chooses at the decisions of these episodes."""
    horizon = policy.chunk_length
    rows = np.concatenate([episode.observations[: episode.steps : horizon] for episode in episodes])
    success = np.concatenate([np.full(-(-episode.steps // horizon), episode.success) for episode in episodes])
    noise = policy.expert.noise(torch.as_tensor(rows, device=policy.device), policy.mode, policy.generator)
    picked = np.linspace(0, len(rows) - 1, min(len(rows), 1000)).astype(int)
    return NoisePicture.project(noise.cpu().numpy()[picked], success[picked], policy.expert.noise_bound)


def _prepare_worker() -> None:
    die_with_parent()
    prepare_process()


def _student(
    config: RunConfig, folder: Path, name: str, student: DistillConfig
) -> Generator[StageProgress, None, None]:
    """Distils one student; its checkpoint is the result."""
    expert = Expert.load(folder / "expert" / "expert.safetensors")

    def teacher(seed: int) -> ExpertPolicy:
        return ExpertPolicy(expert, seed)

    loop = distill(get_task(config.task), teacher, student, config.seed, folder / name)
    yield from timed(loop, folder / name / "seconds.json")


def _drain_student(config: RunConfig, folder: Path, name: str, student: DistillConfig) -> None:
    drain(_student(config, folder, name, student))
