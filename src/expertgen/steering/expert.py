"""The expert: a prior, and an actor that chooses its noise, in one file and in one declared mode."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.errors import FileError, UsageError
from expertgen.prior.prior import DiffusionPrior
from expertgen.rl.learner import Mode
from expertgen.rl.networks import Actor
from expertgen.rl.process import ControlledPolicy
from expertgen.runs.checkpoint import load_checkpoint, load_module, save_checkpoint, with_prefix, without_prefix
from expertgen.runs.config import overlay
from expertgen.runs.seeding import torch_generator
from expertgen.steering.algorithms import CONFIGS, AgentConfig, make_actor
from expertgen.steering.noise import NoiseController, NoiseSpace

KIND, VERSION = "expert", 2


@dataclass
class Expert:
    """A steered prior.

    Attributes:
        prior: the frozen prior.
        actor: chooses noise from the prior's normalised observation.
        agent: options of the algorithm that it learnt by.
        space: which noises it can choose.
        mode: the declared mode, chosen on validation seeds.
        validated: success on those seeds, in that mode.
    """

    prior: DiffusionPrior
    actor: Actor
    agent: AgentConfig
    space: NoiseSpace
    mode: Mode
    validated: float

    def to(self, device: str | torch.device) -> Expert:
        """Moves prior and actor to a device, in place."""
        self.prior.to(device)
        self.actor.to(device)
        return self

    def policy(self, seed: int) -> ExpertPolicy:
        """The expert in its declared mode, as a policy."""
        return ExpertPolicy(self, seed)

    def save(self, path: Path) -> None:
        """Saves the expert with its prior, in one file."""
        tensors = with_prefix("actor", self.actor.state_dict()) | with_prefix("prior", self.prior.state())
        meta = {
            "prior": self.prior.description(),
            "algorithm": next(name for name, kind in CONFIGS.items() if isinstance(self.agent, kind)),
            "agent": asdict(self.agent),
            "noise": asdict(self.space),
            "draws": self.actor.draws,
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
            config = overlay(CONFIGS[meta["algorithm"]](), meta["agent"])
            space, mode, validated = NoiseSpace(**meta["noise"]), meta["mode"], meta["validated"]
            draws = meta["draws"]
        except (KeyError, TypeError, UsageError) as error:
            raise FileError(f"{path}: its description does not fit this version ({error}); steer it again") from None
        actor = make_actor(config, prior.observation_size, space.action_size(prior.noise_shape), draws)
        load_module(actor, without_prefix("actor", tensors), path)
        actor.eval().requires_grad_(False)
        return cls(prior, actor, config, space, mode, validated)


class ExpertPolicy:
    """An expert as a policy.

    Args:
        expert: the steered prior.
        seed: seed of the samples, in modes that have any, and of the noise around which it chooses.
        mode: overrides the expert's declared mode.

    Attributes:
        noise: what it chose in its last plan `[n, H, A]`.
    """

    noise: Float[Tensor, "batch horizon action"]

    def __init__(self, expert: Expert, seed: int = 0, mode: Mode | None = None) -> None:
        self.expert = expert
        self.mode: Mode = mode or expert.mode
        self.chunk_length = expert.prior.noise_shape[0]
        generator = torch_generator(seed, "expert")
        self._controller = NoiseController(expert.prior, expert.space, generator, expert.prior.alpha_bar.device)
        samples = generator if self.mode != "mean" else None
        self._policy = ControlledPolicy(self._controller, expert.actor, samples)

    def reset(self, ids: np.ndarray) -> None:
        """Nothing is remembered between decisions."""

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """See `expertgen.evaluation.policy.Policy.plan`."""
        chunk = self._policy.plan(observation, ids)
        self.noise = self._controller.noise
        return chunk
