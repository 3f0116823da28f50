"""What is kept of baselines that learn an actor beside the frozen prior: what differs is the meaning of its actions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from expertgen.baselines.direct import DirectConfig, DirectController
from expertgen.baselines.ibrl import ChoosingActor, IbrlConfig, IbrlController
from expertgen.baselines.residual import ResidualConfig, ResidualController
from expertgen.errors import FileError, UsageError
from expertgen.prior.prior import DiffusionPrior
from expertgen.rl.fast_td3 import FastTd3Config
from expertgen.rl.learner import Mode
from expertgen.rl.networks import Actor, CriticEnsemble, TanhGaussianActor
from expertgen.rl.process import ControlledPolicy, Controller
from expertgen.rl.sac import SacConfig
from expertgen.runs.checkpoint import load_checkpoint, load_module, save_checkpoint, with_prefix, without_prefix
from expertgen.runs.config import overlay
from expertgen.runs.seeding import torch_generator
from expertgen.steering.algorithms import make_actor

KIND, VERSION = "baseline", 1

ActorOptions = ResidualConfig | DirectConfig | IbrlConfig

CONFIGS: dict[str, type[ActorOptions]] = {"residual": ResidualConfig, "direct": DirectConfig, "ibrl": IbrlConfig}
"""Method → its options."""


def make_controller(
    options: ActorOptions, prior: DiffusionPrior, generator: torch.Generator, device: str | torch.device = "cpu"
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


def agent_options(options: ActorOptions) -> SacConfig | FastTd3Config:
    """Options of the agent that a baseline learns by."""
    return options.agent if isinstance(options, DirectConfig) else options.sac


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
    options: ActorOptions
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
        samples = torch_generator(seed, "baseline", "actor") if self.mode != "mean" else None
        return ControlledPolicy(controller, self.actor, samples)

    def save(self, path: Path) -> None:
        """Saves the baseline with its prior, in one file."""
        tensors = with_prefix("actor", self.actor.state_dict()) | with_prefix("prior", self.prior.state())
        meta = {
            "prior": self.prior.description(),
            "method": next(name for name, kind in CONFIGS.items() if isinstance(self.options, kind)),
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


def _make_actor(options: ActorOptions, prior: DiffusionPrior) -> Actor:
    sizes = make_controller(options, prior, torch.Generator())
    if isinstance(options, IbrlConfig):
        parts = (prior.observation_size, sizes.action_size, options.sac.width, options.sac.depth)
        critic = CriticEnsemble(options.sac.critics, *parts)
        return ChoosingActor(sizes.action_size, TanhGaussianActor(*parts), critic)
    return make_actor(agent_options(options), sizes.observation_size, sizes.action_size)
