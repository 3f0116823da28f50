"""A run of model-based reinforcement learning in its folder: settings in, an agent and its returns out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from expertgen.dynamics.ensemble import DeterministicEnsemble, GaussianEnsemble
from expertgen.dynamics.mixture import MixtureEnsemble
from expertgen.dynamics.model import ModelConfig
from expertgen.dynamics.termination import TERMINATIONS, LearnedTermination, termination_of
from expertgen.dynamics.training import ModelTrainingConfig
from expertgen.dynamics.weighting.density_ratio import DensityRatioConfig
from expertgen.dynamics.weighting.interface import Limits
from expertgen.dynamics.weighting.occupancy import OccupancyConfig
from expertgen.errors import UsageError
from expertgen.evaluation.seeds import EVALUATION_SEED
from expertgen.mbrl.episodes import Acting, play_returns
from expertgen.mbrl.learning import ModelLearner
from expertgen.mbrl.mbpo import MbpoConfig, mbpo
from expertgen.mbrl.planner import Planner, PlannerConfig
from expertgen.mbrl.presets import task_preset
from expertgen.mbrl.weightings import WeightingName, make_weighting, value_gradient_objective
from expertgen.rl.sac_returns import ReturnSacAgent, ReturnSacConfig
from expertgen.runs.config import check_numbers, overlay, plain
from expertgen.runs.files import read_json, write_json
from expertgen.runs.machine import PeakMemory, machine_description, package_versions
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import StageProgress
from expertgen.runs.ranges import Count, Natural, Positive, check_ranges
from expertgen.runs.seeding import derive_seed, seeded_weights, torch_generator
from expertgen.tasks.registry import get_task, make_env
from expertgen.tasks.spec import TaskSpec

ENSEMBLES = {"gaussian": GaussianEnsemble, "deterministic": DeterministicEnsemble, "mixture": MixtureEnsemble}
"""What members of the world model can predict."""

FORMAT = 1
"""Version of the form of `results.json`."""


@dataclass(frozen=True)
class MbrlConfig:
    """A run: which task, which weighting, and how everything is done."""

    task: tyro.conf.Suppress[str]
    """Task id."""
    seed: Natural = 0
    """Seed of everything random in the run; evaluation seeds are always the same."""
    device: str = "cpu"
    """Torch device: cpu, cuda, cuda:1 ..."""
    weighting: WeightingName = "uniform"
    """How much each transition counts for the model; uniform is MBPO."""
    ensemble: Literal["gaussian", "deterministic", "mixture"] | None = None
    """What members of the model predict; by default a Gaussian, and for `vagram`, which trains no variance, a point."""
    act_with: Literal["policy", "planner"] = "policy"
    """What acts in the environment: the policy, or a planner that trusts the policy's value at its horizon."""
    termination: Literal["rule", "learned"] = "rule"
    """When imagined episodes end: by the task's rule, or by a classifier for tasks that have none."""
    recency_scale: Positive = 5_000.0
    """Age at which a weight of `recency` has fallen to 1/e, in transitions."""
    final_episodes: Count = 32
    """Held-out episodes of the finished agent."""
    tensorboard: bool = False
    """Write TensorBoard event files, too (extra `tensorboard`)."""
    mbpo: MbpoConfig = field(default_factory=MbpoConfig)
    """The loop."""
    agent: ReturnSacConfig = field(default_factory=ReturnSacConfig)
    """The agent that learns in the model."""
    model: ModelConfig = field(default_factory=lambda: ModelConfig(members=5, elites=4))
    """The world model."""
    training: ModelTrainingConfig = field(default_factory=ModelTrainingConfig)
    """Training of the model."""
    ratio: DensityRatioConfig = field(default_factory=DensityRatioConfig)
    """The discriminator of `discriminator` and `tom-*`."""
    tom: OccupancyConfig = field(default_factory=OccupancyConfig)
    """The occupancy of `tom-*`; the weighting's name decides its divergence."""
    limits: Limits = field(default_factory=Limits)
    """Limits of the weights of `pmer`, `discriminator` and `tom-*`."""
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    """The planner."""

    def __post_init__(self) -> None:
        check_numbers(self)
        check_ranges(self)
        if self.weighting == "vagram" and self.ensemble not in (None, "deterministic"):
            raise UsageError(f"vagram trains no variance, so ensemble must be deterministic, not {self.ensemble}")
        if self.weighting not in ("uniform", "vagram") and not (self.mbpo.weight_model or self.mbpo.weight_starts):
            raise UsageError(f"the {self.weighting} weighting is to weigh neither the model's data nor rollout starts")
        task = get_task(self.task)
        if self.termination == "rule":
            try:
                termination_of(task.id)
            except UsageError as error:
                raise UsageError(f"{error}: --termination learned") from None
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"device {self.device!r} cannot be used: {str(error).splitlines()[0]}") from None


def default_settings(task: str) -> MbrlConfig:
    """Settings of a task before a file or flags change them; where no termination rule is known, one is learned.

    Args:
        task: its name.
    """
    name = get_task(task).id
    rule = "rule" if name in TERMINATIONS else "learned"
    return overlay(MbrlConfig(task, termination=rule), task_preset(name))


def run_mbrl(config: MbrlConfig, folder: Path, command: str) -> Generator[StageProgress, None, dict[str, Any]]:
    """Does a run, or what is left of it.

    Args:
        config: the resolved configuration.
        folder: the run folder; created if need be.
        command: what the user typed, for the record.

    Yields:
        progress of learning.

    Returns:
        the results, as in `results.json`.
    """
    task = get_task(config.task)
    make_env(task, 1).close()  # a simulator that does not fit is refused before anything is written
    if not (folder / "config.json").exists():
        about = {"task": config.task, "seed": config.seed, "command": command, "machine": machine_description()}
        write_json(folder / "run.json", about | {"versions": package_versions()})
        write_json(folder / "config.json", plain(config))  # last: with it the folder can be resumed
    if (folder / "results.json").exists():
        (folder / "state.safetensors").unlink(missing_ok=True)
        return read_json(folder / "results.json")
    agent, learner, actor = make_parts(task, config, folder)
    objective = value_gradient_objective(agent.values) if config.weighting == "vagram" else None
    loop = mbpo(task, agent, learner, config.mbpo, config.seed, folder, actor, objective, config.tensorboard)
    with PeakMemory() as memory:
        yield from loop
    actor.generator.manual_seed(derive_seed(config.seed, "mbrl", "evaluation"))
    with closing(make_env(task, config.final_episodes)) as env:
        returns, lengths = play_returns(env, actor, EVALUATION_SEED, config.device)
    about, last = read_json(folder / "run.json"), read_metrics(folder)[-1]
    results = {
        "format": FORMAT,
        "task": config.task,
        "seed": config.seed,
        "weighting": config.weighting,
        "command": about["command"],
        "return": float(returns.mean()),
        "return_deviation": float(returns.std()),
        "episode_steps": float(lengths.mean()),
        "episodes": config.final_episodes,
        "env_steps": last["step"],
        "updates": last["updates"],
        "seconds": last["seconds"],
        "peak_memory_mb": memory.look(),
        "versions": about["versions"],
    }
    write_json(folder / "results.json", results)
    (folder / "state.safetensors").unlink(missing_ok=True)
    return results


def make_parts(task: TaskSpec, config: MbrlConfig, folder: Path) -> tuple[ReturnSacAgent, ModelLearner, Acting]:
    """Makes the agent, the model with its weighting, and what acts.

    Args:
        task: the task.
        config: settings.
        folder: where a batch is dumped that is not finite.
    """
    sizes, device = (task.observation_size, task.action_size), torch.device(config.device)
    with seeded_weights(config.seed, "mbrl", "agent"):
        agent = ReturnSacAgent(*sizes, config.agent, torch.Generator(device))
    with seeded_weights(config.seed, "mbrl", "model"):
        ensemble = config.ensemble or ("deterministic" if config.weighting == "vagram" else "gaussian")
        model = ENSEMBLES[ensemble](*sizes, config.model)
        learned = LearnedTermination(*sizes).to(device)
    generator = torch_generator(config.seed, "mbrl", "weighting", device=device)
    weighting = make_weighting(
        config.weighting,
        model,
        generator,
        recency_scale=config.recency_scale,
        ratio=config.ratio,
        occupancy=config.tom,
        limits=config.limits,
    )
    learner = ModelLearner(
        model,
        config.training,
        weighting,
        generator,
        learned if config.termination == "learned" else termination_of(task.id),
        capacity=config.mbpo.env_steps,
        seed=config.seed,
        folder=folder,
        device=config.device,
        weight_model=config.mbpo.weight_model,
        weight_starts=config.mbpo.weight_starts,
    )
    actor: Acting = agent
    if config.act_with == "planner":
        values = {"value": agent.value, "policy": agent.policy}
        draws = torch.Generator(device)
        actor = Planner(model, learner.termination, config.planner, sizes[1], lambda: agent.discount, draws, **values)
    return agent, learner, actor
