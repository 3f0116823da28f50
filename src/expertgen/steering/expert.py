"""The expert: a prior, and an actor that chooses its noise, in one file and in one declared mode."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.errors import FileError
from expertgen.prior.prior import DiffusionPrior
from expertgen.rl.networks import TanhGaussianActor
from expertgen.rl.sac import SacConfig
from expertgen.runs.checkpoint import load_checkpoint, load_module, save_checkpoint, with_prefix, without_prefix
from expertgen.runs.seeding import torch_generator

KIND, VERSION = "expert", 1

Mode = Literal["mean", "sampled"]
"""How an expert picks noise: the mode of its Gaussian, or a sample of it."""


@dataclass
class Expert:
    """A steered prior.

    Attributes:
        prior: the frozen prior.
        actor: chooses noise from the prior's normalised observation.
        agent_config: sizes of the actor.
        noise_bound: b; noise is b · tanh(·).
        mode: the declared mode, chosen on validation seeds.
        validated: success on those seeds, in that mode.
    """

    prior: DiffusionPrior
    actor: TanhGaussianActor
    agent_config: SacConfig
    noise_bound: float
    mode: Mode
    validated: float

    def to(self, device: str | torch.device) -> Expert:
        """Moves prior and actor to a device, in place."""
        self.prior.to(device)
        self.actor.to(device)
        return self

    @torch.inference_mode()
    def noise(
        self, observation: Float[Tensor, "batch observation"], mode: Mode, generator: torch.Generator
    ) -> Float[Tensor, "batch horizon action"]:
        """Chooses initial noise, within ±`noise_bound`, for raw observations."""
        mean, log_deviation = self.actor(self.prior.normalize(observation))
        if mode == "sampled":
            mean = mean + log_deviation.exp() * torch.randn(mean.shape, generator=generator).to(mean.device)
        return (self.noise_bound * mean.tanh()).unflatten(1, self.prior.noise_shape)

    def save(self, path: Path) -> None:
        """Saves the expert with its prior, in one file."""
        tensors = with_prefix("actor", self.actor.state_dict()) | with_prefix("prior", self.prior.state())
        meta = {
            "prior": self.prior.description(),
            "agent_config": asdict(self.agent_config),
            "noise_bound": self.noise_bound,
            "mode": self.mode,
            "validated": self.validated,
        }
        save_checkpoint(path, KIND, VERSION, tensors, meta)

    @classmethod
    def load(cls, path: Path) -> Expert:
        """Loads what `save` wrote.

        Raises:
            FileError: if the file is missing, truncated, of another kind, version or shape.
        """
        tensors, meta = load_checkpoint(path, KIND, VERSION)
        try:
            prior = DiffusionPrior.from_state(meta["prior"], without_prefix("prior", tensors), path)
            config = SacConfig(**meta["agent_config"])
            noise_bound, mode, validated = meta["noise_bound"], meta["mode"], meta["validated"]
        except (KeyError, TypeError) as error:
            raise FileError(f"{path}: its description does not fit this version ({error}); steer it again") from None
        horizon, action_size = prior.noise_shape
        actor = TanhGaussianActor(prior.observation_size, horizon * action_size, config.width, config.depth)
        load_module(actor, without_prefix("actor", tensors), path)
        actor.eval().requires_grad_(False)
        return cls(prior, actor, config, noise_bound, mode, validated)


class ExpertPolicy:
    """An expert as a policy.

    Args:
        expert: the steered prior.
        seed: seed of the sampled mode.
        mode: overrides the expert's declared mode.

    Attributes:
        noise: what it chose in its last plan `[n, H, A]`.
    """

    noise: Float[Tensor, "batch horizon action"]

    def __init__(self, expert: Expert, seed: int = 0, mode: Mode | None = None) -> None:
        self.expert = expert
        self.mode: Mode = mode or expert.mode
        self.chunk_length = expert.prior.noise_shape[0]
        self.generator = torch_generator(seed, "expert")
        self.device = expert.prior.alpha_bar.device

    def reset(self, ids: np.ndarray) -> None:
        """Nothing is remembered between decisions."""

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """See `expertgen.evaluation.policy.Policy.plan`."""
        rows = torch.as_tensor(observation, device=self.device)
        self.noise = self.expert.noise(rows, self.mode, self.generator)
        return self.expert.prior.decode(rows, self.noise).cpu().numpy()
