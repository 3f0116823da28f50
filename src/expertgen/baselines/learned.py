"""Baselines that learn in the loop of steering: what differs is the meaning of the action, and what is kept."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from expertgen.baselines.direct import DirectConfig, DirectController
from expertgen.baselines.ibrl import ChoosingActor, IbrlAgent, IbrlConfig, IbrlController
from expertgen.baselines.residual import ResidualConfig, ResidualController
from expertgen.demos.store import DemoSet
from expertgen.errors import FileError, UsageError
from expertgen.prior.prior import DiffusionPrior
from expertgen.rl.demonstrations import demo_decisions, replay_of
from expertgen.rl.learner import Learner, Mode
from expertgen.rl.loop import LoopConfig, learn
from expertgen.rl.networks import Actor, CriticEnsemble, TanhGaussianActor
from expertgen.rl.process import ControlledPolicy, Controller
from expertgen.rl.replay import Replay
from expertgen.rl.sac import SacAgent
from expertgen.runs.checkpoint import load_checkpoint, load_module, save_checkpoint, with_prefix, without_prefix
from expertgen.runs.config import overlay
from expertgen.runs.progress import StageProgress
from expertgen.runs.seeding import seeded_weights, torch_generator
from expertgen.tasks.spec import TaskSpec

KIND, VERSION = "baseline", 1

Options = ResidualConfig | DirectConfig | IbrlConfig

CONFIGS: dict[str, type[Options]] = {"residual": ResidualConfig, "direct": DirectConfig, "ibrl": IbrlConfig}
"""Method → its options."""


def make_controller(
    options: Options, prior: DiffusionPrior, generator: torch.Generator, device: str | torch.device = "cpu"
) -> Controller:
    """What the actions of a baseline mean.

    Args:
        options: of the baseline.
        prior: the frozen prior.
        generator: source of the prior's noise, where it acts (CPU).
        device: torch device.
    """
    match options:
        case ResidualConfig():
            return ResidualController(prior, options.scale, generator, device)
        case DirectConfig():
            return DirectController(prior, options.chunk_length, device)
        case IbrlConfig():
            return IbrlController(prior, generator, device)


@dataclass
class LearnedBaseline:
    """A baseline after learning; see `expertgen.rl.learner.Solution`.

    Attributes:
        prior: the frozen prior.
        actor: who decides.
        options: of the baseline.
        mode: how the actor picks its action, chosen on validation seeds.
        validated: success on those seeds, in that mode.
    """

    prior: DiffusionPrior
    actor: Actor
    options: Options
    mode: Mode
    validated: float

    def to(self, device: str | torch.device) -> LearnedBaseline:
        """Moves prior and actor to a device, in place."""
        self.prior.to(device)
        self.actor.to(device)
        return self

    def policy(self, seed: int) -> ControlledPolicy:
        """The baseline as a policy; `seed` is that of the prior's noise and of the actor's samples."""
        generator = torch_generator(seed, "baseline", "prior")
        controller = make_controller(self.options, self.prior, generator, self.prior.alpha_bar.device)
        samples = torch_generator(seed, "baseline", "actor") if self.mode == "sampled" else None
        return ControlledPolicy(controller, self.actor, samples)

    def save(self, path: Path) -> None:
        """Saves the baseline with its prior, in one file."""
        tensors = with_prefix("actor", self.actor.state_dict()) | with_prefix("prior", self.prior.state())
        meta = {
            "prior": self.prior.description(),
            "method": _name(self.options),
            "options": asdict(self.options),
            "mode": self.mode,
            "validated": self.validated,
        }
        save_checkpoint(path, KIND, VERSION, tensors, meta)

    @classmethod
    def load(cls, path: Path) -> LearnedBaseline:
        """Loads what `save` wrote.

        Raises:
            FileError: if the file is missing, truncated, of another kind, version or shape.
        """
        tensors, meta = load_checkpoint(path, KIND, VERSION)
        try:
            prior = DiffusionPrior.from_state(meta["prior"], without_prefix("prior", tensors), path)
            options = overlay(CONFIGS[meta["method"]](), meta["options"])
            mode, validated = meta["mode"], meta["validated"]
        except (KeyError, TypeError, UsageError) as error:
            raise FileError(f"{path}: its description does not fit this version ({error}); learn it again") from None
        actor = _make_actor(options, prior)
        load_module(actor, without_prefix("actor", tensors), path)
        actor.eval().requires_grad_(False)
        return cls(prior, actor, options, mode, validated)


def learn_baseline(
    task: TaskSpec,
    prior: DiffusionPrior,
    options: Options,
    config: LoopConfig,
    seed: int,
    folder: Path,
    device: str = "cpu",
    tensorboard: bool = False,
    demos: DemoSet | None = None,
) -> Generator[StageProgress, None, LearnedBaseline]:
    """Learns a baseline and saves the best validated one to `folder/expert.safetensors`.

    Args:
        task: the task; its own simulator is used.
        prior: the frozen prior; it is moved to the device.
        options: of the baseline; they say how many updates it takes and what share of its batches are demonstrations.
        config: everything else of the loop: the budget is that of steering.
        seed: the run's seed.
        folder: the stage's folder.
        device: torch device.
        tensorboard: also write TensorBoard event files.
        demos: the demonstrations, where the baseline wants them.

    Raises:
        TrainingError: if a loss is not finite; the batch is dumped to `folder/bad_batch.safetensors`.
        UsageError: if demonstrations are wanted and none is given, or none succeeds.
    """
    result = folder / "expert.safetensors"
    if not result.exists():
        prior.to(device)
        learner = _learner(prior, options, seed, device)
        if isinstance(options, ResidualConfig):
            config = config.loop(demo_share=0.0, updates_per_decision=options.updates_per_step)
        else:
            config = config.loop(demo_share=options.demo_share, updates_per_decision=options.updates_per_decision)
        if config.demo_share:
            learner = replace(learner, demos=_demo_replay(prior, options, demos, seed, device))
        yield from learn(task, learner, config, seed, folder, "baseline", device, tensorboard)
        (folder / "best.safetensors").replace(result)
    (folder / "state.safetensors").unlink(missing_ok=True)
    return LearnedBaseline.load(result).to(device)


def _learner(prior: DiffusionPrior, options: Options, seed: int, device: str) -> Learner:
    """Soft actor-critic on the baseline's actions."""

    def controller(generator: torch.Generator) -> Controller:
        return make_controller(options, prior, generator, device)

    def solution(actor: Actor, mode: Mode) -> LearnedBaseline:
        return LearnedBaseline(prior, actor, options, mode, validated=0.0)

    sizes = make_controller(options, prior, torch.Generator())
    with seeded_weights(seed, "baseline", "weights"):
        if isinstance(options, IbrlConfig):
            agent = IbrlAgent(prior.observation_size, sizes.action_size, options.sac, torch.Generator(device))
        else:
            agent = SacAgent(sizes.observation_size, sizes.action_size, options.sac, torch.Generator(device))
    return Learner(
        agent,
        options.sac.learning_rate,
        options.sac.discount,
        n_step=options.sac.n_step,
        rounds=0,
        controller=controller,
        modes=("mean", "sampled"),
        solution=solution,
        progressive_env_steps=options.progressive_env_steps if isinstance(options, ResidualConfig) else 0,
    )


def _demo_replay(prior: DiffusionPrior, options: Options, demos: DemoSet | None, seed: int, device: str) -> Replay:
    """Chunks of the demonstrations that succeeded, as experience."""
    if demos is None:
        raise UsageError(f"{_name(options)}.demo_share needs demonstrations; give some, or set it to 0")
    controller = make_controller(options, prior, torch_generator(seed, "baseline", "demos"), device)
    decisions = demo_decisions(demos, controller.chunk_length)
    seen = controller.observe(decisions.observation.numpy(), np.arange(len(decisions.last)))
    return replay_of(seen, decisions.chunk.flatten(1).to(device), decisions.last)


def _make_actor(options: Options, prior: DiffusionPrior) -> Actor:
    sizes, network = make_controller(options, prior, torch.Generator()), (options.sac.width, options.sac.depth)
    if isinstance(options, IbrlConfig):
        parts = (prior.observation_size, sizes.action_size, *network)
        critic = CriticEnsemble(options.sac.critics, *parts)
        return ChoosingActor(sizes.action_size, TanhGaussianActor(*parts), critic)
    return TanhGaussianActor(sizes.observation_size, sizes.action_size, *network)


def _name(options: Options) -> str:
    """The method that these are the options of."""
    return next(name for name, kind in CONFIGS.items() if isinstance(options, kind))
