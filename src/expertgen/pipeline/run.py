"""A run from its first stage to its last."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from expertgen.baselines.learn import Baseline, learn_baseline
from expertgen.demos.describe import describe
from expertgen.demos.store import DemoSet
from expertgen.distillation.student import make_student_env
from expertgen.errors import FileError
from expertgen.evaluation.evaluate import Evaluation, demo_episodes, save_episodes, summarize
from expertgen.evaluation.policy import Policy
from expertgen.evaluation.results import STAGES, Results
from expertgen.evaluation.seeds import EVALUATION_SEED
from expertgen.pipeline.inputs import check_inputs, collect_demos, read_demos
from expertgen.pipeline.measure import demos_of, measure, saved_policies
from expertgen.pipeline.settings import RunConfig
from expertgen.pipeline.students import train_students
from expertgen.prior.prior import DiffusionPrior, PriorPolicy
from expertgen.prior.probe import probe, search_constant_noise
from expertgen.prior.training import train_prior
from expertgen.reporting.film import film, filmed
from expertgen.runs.checkpoint import load_checkpoint, save_checkpoint
from expertgen.runs.config import plain
from expertgen.runs.files import read_json, write_json
from expertgen.runs.machine import PeakMemory, machine_description, package_versions
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import StageProgress, timed
from expertgen.runs.seeding import torch_generator
from expertgen.steering.expert import Expert
from expertgen.steering.steer import SteerConfig, steer
from expertgen.tasks.registry import get_task, make_env

STUDENT_NOTES = {"teacher": "the expert in the students' simulator, on the students' episodes"}


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
    with PeakMemory() as memory:
        pipeline = _Pipeline(config, folder, command, memory)
        try:
            results, seconds = yield from timed(pipeline.run(), folder / "seconds.json")
        except FileError as error:
            raise FileError(f"{error}; delete it and --resume redoes that part") from error
    about = read_json(folder / "run.json")
    write_json(folder / "run.json", about | {"seconds": seconds})
    return results


class _Pipeline:
    """One run between its stages: where it is, and what has been measured so far."""

    def __init__(self, config: RunConfig, folder: Path, command: str, memory: PeakMemory) -> None:
        self.config = config
        self.folder = folder
        self.memory = memory
        self.task = get_task(config.task)
        check_inputs(config, self.task)
        if not (folder / "config.json").exists():
            about = {"task": config.task, "seed": config.seed, "command": command}
            about["started"] = datetime.now().astimezone().isoformat(timespec="seconds")
            about |= {"machine": machine_description(), "versions": package_versions()}
            write_json(folder / "run.json", about)
            write_json(folder / "config.json", plain(config))  # last: with it the folder can be resumed
        about = read_json(folder / "run.json")
        self.results = Results(config.task, config.seed, about["command"], {}, 0.0, about["versions"])
        with suppress(FileError):  # there are none yet, or they are written anew
            self.results = Results.load(folder / "results.json")

    def run(self) -> Generator[StageProgress, None, Results]:
        """Does what is left to do."""
        config = self.config
        given = config.prior_file is not None or config.expert_file is not None
        if not given or config.demos_file is not None:
            yield from self._demonstrate()
        if config.until == "demos":
            return self.results
        if config.expert_file is not None:
            expert = Expert.load(config.expert_file).to(config.device)
        else:
            prior = yield from self._train_prior()
            if config.until == "prior":
                return self.results
            expert = yield from self._make_expert(prior)
        if config.until == "student" and self.task.cameras and isinstance(expert, Expert):
            yield from self._distill(expert)
        if self.task.cameras and config.evaluation.films and find_spec("metaworld") and find_spec("imageio_ffmpeg"):
            yield from self._film()
        return self.results

    def _film(self) -> Generator[StageProgress, None, None]:
        """Films a success and a failure of every policy; a run without the extra `vision` goes without."""
        with closing(make_student_env(self.task, 16)) as env:
            for name, policy in saved_policies(self.folder, self.config, env).items():
                folder = self.folder / name
                if name in STAGES and not filmed(folder):
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
        demos = DemoSet.load(path)
        demos.check(self.task)
        episodes = demo_episodes(demos)
        seconds = read_json(folder / "seconds.json")["seconds"]
        save_episodes(folder / "episodes.json", episodes, config.seed)
        warning = "; ".join(describe(demos, self.task).warnings)
        if warning:
            yield StageProgress("demos", len(demos), len(demos), "episodes", warning=warning)
        self._record("demos", summarize(episodes, config.seed, seconds, self.task), warning)

    def _train_prior(self) -> Generator[StageProgress, None, DiffusionPrior]:
        config, folder = self.config, self.folder / "prior"
        seconds = 0.0
        if config.prior_file is not None:
            prior = DiffusionPrior.load(config.prior_file).to(config.device)
            prior.save(folder / "prior.safetensors")
        else:
            demos = DemoSet.load(self.folder / "demos" / "demos.h5")
            training = train_prior(demos, config.prior, config.seed, folder, config.device, config.tensorboard)
            prior, seconds = yield from timed(training, folder / "seconds.json")
        spread = probe(prior, self._probe_observations(), torch_generator(config.seed, "prior", "probe"))
        generator = torch_generator(config.seed, "prior", "evaluation")
        policy = PriorPolicy(prior, generator, device=config.device)
        normal = yield from self._measure("prior", policy, seconds)
        zero = yield from self._measure("zero_noise", PriorPolicy(prior, device=config.device))
        measured = {"success_normal": normal.success, "success_zero": zero.success}
        if config.evaluation.constant_noises:
            measured["success_best_constant"] = (yield from self._constant_noise(prior)).success
        write_json(folder / "steerability.json", {"chunk_spread": spread} | measured)
        return prior

    def _probe_observations(self) -> torch.Tensor:
        """Some 256 observations to probe a prior at: of the demonstrations, or start states where there are none."""
        demos = demos_of(self.folder)
        if demos is not None:
            rows = np.concatenate([demo.observations for demo in demos.demos])
            return torch.from_numpy(rows[:: max(1, len(rows) // 256)]).to(self.config.device)
        with closing(make_env(self.task, 16)) as env:
            return torch.from_numpy(env.reset(seed=self.config.seed)[0]).to(self.config.device)

    def _constant_noise(self, prior: DiffusionPrior) -> Generator[StageProgress, None, Evaluation]:
        """The best of many constant noises, searched on training seeds and evaluated like everything else."""
        config, path = self.config, self.folder / "constant_noise" / "noise.safetensors"
        candidates = config.evaluation.constant_noises
        if not path.exists():
            search = search_constant_noise(self.task, prior, config.seed, candidates, device=config.device)
            (noise, steps), _ = yield from timed(search, path.with_name("seconds.json"))
            about = {"task": self.task.id, "env_steps": steps}
            save_checkpoint(path, "constant-noise", 1, {"noise": noise}, about)
        tensors, about = load_checkpoint(path, "constant-noise", 1)
        seconds = read_json(path.with_name("seconds.json"))["seconds"]
        policy, note = PriorPolicy(prior, noise=tensors["noise"], device=config.device), f"the best of {candidates}"
        return (yield from self._measure("constant_noise", policy, seconds, about["env_steps"], note))

    def _make_expert(self, prior: DiffusionPrior) -> Generator[StageProgress, None, Expert | Baseline]:
        config, folder = self.config, self.folder / "expert"
        rest, demos = (config.seed, folder, config.device, config.tensorboard), demos_of(self.folder)
        options = config.method_options
        if isinstance(options, SteerConfig):
            work, what = steer(self.task, prior, options, *rest, demos=demos), "noise"
        else:
            work, what = learn_baseline(self.task, prior, options, config.steer, *rest, demos=demos), "actions"
        expert, _ = yield from timed(work, folder / "seconds.json")
        last = read_metrics(folder)[-1]
        note = f"{expert.mode} {what}, chosen on validation seeds ({expert.validated:.0%} success there)"
        if config.method != "steer":
            note = f"method {config.method}: {note}"
        yield from self._measure("expert", expert.policy(config.seed), last["seconds"], last["step"], note)
        return expert

    def _distill(self, expert: Expert) -> Generator[StageProgress, None, None]:
        expert.save(self.folder / "expert" / "expert.safetensors")
        evaluations = yield from train_students(self.config, self.folder)
        for name, evaluation in evaluations.items():
            self._record(name, evaluation, STUDENT_NOTES.get(name, ""))

    def _measure(
        self, name: str, policy: Policy, seconds: float = 0.0, env_steps: int = 0, note: str = ""
    ) -> Generator[StageProgress, None, Evaluation]:
        evaluation = yield from measure(self.config, self.folder / name, policy, seconds, env_steps)
        self._record(name, evaluation, note)
        return evaluation

    def _record(self, name: str, evaluation: Evaluation, note: str) -> None:
        """Adds a stage to `results.json`, so that a stopped run shows what it got to."""
        self.results = replace(
            self.results,
            stages={**self.results.stages, name: evaluation},
            notes={**self.results.notes, **({name: note} if note else {})},
            peak_memory_mb=max(self.results.peak_memory_mb, self.memory.look()),
        )
        self.results.save(self.folder / "results.json")
