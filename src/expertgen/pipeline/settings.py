"""Settings of a run: what is to be done, from which inputs, how far, and how each stage does it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import torch
import tyro

from expertgen.baselines.direct import DirectConfig
from expertgen.baselines.dppo import DppoConfig
from expertgen.baselines.ibrl import IbrlConfig
from expertgen.baselines.learn import Options as BaselineOptions
from expertgen.baselines.learn import loop_of
from expertgen.baselines.residual import ResidualConfig
from expertgen.baselines.self_imitation import SelfImitationConfig
from expertgen.demos.collect import CollectConfig
from expertgen.demos.library import program_file
from expertgen.demos.scripted import default_imperfections
from expertgen.distillation.dagger import DistillConfig
from expertgen.errors import FileError, UsageError
from expertgen.evaluation.perturbations import read_perturbations
from expertgen.evaluation.seeds import check_run_seed
from expertgen.prior.prior import PriorConfig
from expertgen.rl.ppo import PpoConfig
from expertgen.runs.config import check_numbers
from expertgen.runs.ranges import Count, Natural, check_ranges
from expertgen.steering.steer import SteerConfig
from expertgen.tasks.registry import get_task
from expertgen.vision.rig import select_cameras

Method = Literal["steer", "residual", "direct", "ibrl", "self-imitation", "dppo"]

Stage = Literal["demos", "prior", "expert", "student"]


@dataclass(frozen=True)
class EvaluationConfig:
    """How success is measured."""

    episodes: Count = 256
    """Held-out episodes of every policy."""
    num_envs: Count = 64
    """Environments that play at the same time, at most one for each episode."""
    constant_noises: Natural = 64
    """Constant noises tried, to see what can be had without learning; 0 leaves this out."""
    films: bool = True
    """Film a success and a failure of every policy (where the simulator can be seen)."""

    def __post_init__(self) -> None:
        check_ranges(self, "evaluation")


@dataclass(frozen=True)
class RunConfig:
    """A run: what is to be done, from which inputs, how far, and how each stage does it."""

    task: tyro.conf.Suppress[str]
    """Task id."""
    seed: int = 0
    """Seed of everything random in the run; evaluation seeds are always the same."""
    device: str = "cpu"
    """Torch device: cpu, cuda, cuda:1 ..."""
    until: tyro.conf.Suppress[Stage] = "student"
    """Last stage to do."""
    demos_file: Path | None = None
    """Demonstrations to use (expertgen or robomimic HDF5, npz) instead of collecting them."""
    program: tuple[Path, ...] | None = None
    """Demonstration programs to run instead of the task's scripted demonstrator: files, or names of shipped ones.
    Several share the episodes."""
    sandbox: bool = True
    """Run them in a sandbox; without, they have your own rights."""
    prior_file: Path | None = None
    """A trained prior to use instead of training one."""
    expert_file: Path | None = None
    """A steered expert to use instead of steering one."""
    method: Method = "steer"
    """What makes an expert: steering, or a baseline."""
    tensorboard: bool = False
    """Write TensorBoard event files, too (extra `tensorboard`)."""
    demos: CollectConfig = field(default_factory=CollectConfig)
    """Collecting demonstrations."""
    prior: PriorConfig = field(default_factory=PriorConfig)
    """Training the prior."""
    steer: SteerConfig = field(default_factory=SteerConfig)
    """Steering the prior."""
    residual: ResidualConfig = field(default_factory=ResidualConfig)
    """The baseline `residual`."""
    direct: DirectConfig = field(default_factory=DirectConfig)
    """The baseline `direct`."""
    ibrl: IbrlConfig = field(default_factory=IbrlConfig)
    """The baseline `ibrl`."""
    self_imitation: SelfImitationConfig = field(default_factory=SelfImitationConfig)
    """The baseline `self-imitation`."""
    dppo: DppoConfig = field(default_factory=DppoConfig)
    """The baseline `dppo`."""
    distill: DistillConfig = field(default_factory=DistillConfig)
    """Distilling the expert."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Measuring success."""

    def __post_init__(self) -> None:
        check_run_seed(self.seed)
        check_numbers(self)
        task = get_task(self.task)
        if (chunk := self.prior.chunk_length) > task.horizon:
            raise UsageError(f"prior.chunk_length ({chunk}) exceeds the horizon of {task.id!r} ({task.horizon} steps)")
        if self.steer.perturbations:
            read_perturbations(task, self.steer.perturbations)
        if getattr(self.method_options, "demo_share", 0) and self.prior_file is not None and self.demos_file is None:
            raise UsageError(
                f"{self.method_group}.demo_share needs demonstrations beside prior_file; give demos_file, too"
            )
        if self.method != "steer" and ((self.until == "student" and task.cameras) or self.expert_file is not None):
            raise UsageError(f"method {self.method!r} makes no expert to distil; choose until expert, or method steer")
        if self.method == "direct":
            if (length := self.direct.chunk_length) > (horizon := task.horizon):
                raise UsageError(f"direct.chunk_length ({length}) exceeds the horizon of {task.id!r} ({horizon} steps)")
            self.direct.reward_of(task)
        if self.expert_file is None:
            self._check_budget()
            if self.prior_file is None:
                self.steer.check_noise((chunk, task.action_size))
        if task.success == "":
            raise UsageError(
                f"task {task.id!r} has no success rule, so it cannot be steered on success; choose another"
            )
        first = "student" if self.expert_file else "prior" if self.prior_file else "demos"
        last = "expert" if self.until == "student" and not task.cameras else self.until
        if get_args(Stage).index(last) < get_args(Stage).index(first):
            why = "" if last == self.until else f", because task {task.id!r} has no cameras"
            raise UsageError(f"nothing is left to do: the first stage would be the {first}, the last the {last}{why}")
        if self.until == "student" and task.cameras:
            if not self.distill.cameras:
                raise UsageError(
                    f"distill.cameras names none; {task.id!r} has {', '.join(c.name for c in task.cameras)}"
                )
            select_cameras(task, self.distill.cameras)
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"device {self.device!r} cannot be used: {str(error).splitlines()[0]}") from None
        for program in self.program or ():
            program_file(program)
        if (count := len(self.program or ())) > self.demos.episodes:
            raise UsageError(f"demos.episodes ({self.demos.episodes}) is less than one for each of {count} programs")
        for name in ("demos_file", "prior_file", "expert_file"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise FileError(f"{name}: {path} {'is a folder' if path.is_dir() else 'does not exist'}")

    def _check_budget(self) -> None:
        """Refuses a budget from which the method that makes the expert would learn nothing."""
        options, rounds = self.method_options, 0
        option = f"{self.method_group}.updates_per_{'step' if self.method == 'residual' else 'decision'}"
        agent = options.agent if isinstance(options, SteerConfig) else options
        if isinstance(agent, PpoConfig | DppoConfig):
            rounds, option = agent.first_update, "steer.ppo.rounds" if self.method == "steer" else "dppo.rounds"
        loop = options if isinstance(options, SteerConfig) else loop_of(options, self.steer)
        steps = self.prior.chunk_length if self.prior_file is None else 1  # of a prior in a file at least one
        loop.check(rounds * loop.num_envs * steps, option)

    @property
    def method_options(self) -> SteerConfig | BaselineOptions:
        """Options of the method that makes the expert."""
        return getattr(self, self.method_group)

    @property
    def method_group(self) -> str:
        """Where those options are."""
        return self.method.replace("-", "_")


_ONE_ARM, _TWO_ARMS = 8, 16
"""Action dimensions at most, of arms with grippers; a hand on an arm has more."""


def default_settings(task: str) -> RunConfig:
    """Settings of a run of a task before a preset, a file or flags change them.

    The scripted demonstrators have imperfections of each task's own. The prior of a hand or of two arms is larger than
    that of an arm with a gripper; the noise of a hand, otherwise of a hundred numbers, is the same at all steps of a
    chunk.

    Args:
        task: its name.
    """
    spec = get_task(task)
    config = RunConfig(task, demos=CollectConfig(imperfections=default_imperfections(spec)))
    if spec.action_size > _ONE_ARM:
        config = replace(config, prior=replace(config.prior, width=256, iterations=8000))
    if spec.action_size > _TWO_ARMS:
        config = replace(config, steer=replace(config.steer, noise_rank=1))
    return config
