"""Baselines that train the prior's own network: what is kept is a prior, played under N(0, I) noise like any other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.errors import FileError
from expertgen.prior.prior import KIND, VERSION, DiffusionPrior, PriorPolicy
from expertgen.rl.learner import Mode
from expertgen.runs.checkpoint import load_checkpoint, save_checkpoint
from expertgen.runs.seeding import torch_generator


@dataclass
class TunedPrior:
    """A prior after training; see `expertgen.rl.learner.Solution`. Its file is one of a prior, and can be steered.

    Attributes:
        prior: the prior.
        validated: success under N(0, I) noise on validation seeds.
    """

    prior: DiffusionPrior
    validated: float

    mode: Mode = "sampled"

    def to(self, device: str | torch.device) -> TunedPrior:
        """Moves the prior to a device, in place."""
        self.prior.to(device)
        return self

    def policy(self, seed: int) -> PriorPolicy:
        """The prior as a policy; `seed` is that of its noise."""
        generator = torch_generator(seed, "baseline", "prior")
        return PriorPolicy(self.prior, generator, device=self.prior.alpha_bar.device)

    def save(self, path: Path) -> None:
        """Saves the prior, with its success beside its description."""
        about: dict[str, Any] = self.prior.description() | {"validated": self.validated}
        save_checkpoint(path, KIND, VERSION, self.prior.state(), about)

    @classmethod
    def load(cls, path: Path) -> TunedPrior:
        """Loads what `save` wrote.

        Raises:
            FileError: if the file is missing, truncated, of another kind, version or shape.
        """
        tensors, about = load_checkpoint(path, KIND, VERSION)
        if "validated" not in about:
            raise FileError(f"{path} holds a prior that no baseline has trained; give it as a prior_file")
        return cls(DiffusionPrior.from_state(about, tensors, path), about["validated"])


class TunedController:
    """An action is the end of a denoising path, at least its chunk. See `expertgen.rl.process.Controller`.

    Args:
        prior: the prior before training.
        steps: intermediate x of the path that stand before the chunk in an action.
        device: where its weights are.
    """

    def __init__(self, prior: DiffusionPrior, steps: int = 0, device: str | torch.device = "cpu") -> None:
        self.prior = prior
        self.device = torch.device(device)
        horizon, action_size = prior.noise_shape
        self.chunk_length = horizon
        self.chunk_size = horizon * action_size
        self.action_size = (steps + 1) * self.chunk_size
        self.observation_size = prior.observation_size

    def reset(self, ids: np.ndarray) -> None:
        """Nothing is remembered between decisions."""

    def warm_up(
        self, normal: Float[Tensor, "batch decided"], seen: Float[Tensor, "batch seen"]
    ) -> Float[Tensor, "batch decided"]:
        """What the prior did before training, under N(0, I) noise. On-policy agents do not ask for it."""
        with torch.inference_mode():
            return self.prior.decode_normalized(seen, normal.unflatten(1, self.prior.noise_shape)).flatten(1)

    def measures(self, action: Float[Tensor, "batch decided"]) -> dict[str, float]:
        """Root mean square of the chunks."""
        return {"action_norm": float(action[:, -self.chunk_size :].square().mean().sqrt())}

    def observe(self, observation: np.ndarray, ids: np.ndarray) -> Float[Tensor, "batch seen"]:
        """The observation as the prior's network sees it."""
        return self.prior.normalize(torch.as_tensor(observation, device=self.device))

    def chunk(
        self, observation: np.ndarray, action: Float[Tensor, "batch decided"], ids: np.ndarray
    ) -> Float[Tensor, "batch horizon action"]:
        """The path's last x, clipped to what can be done."""
        return action[:, -self.chunk_size :].unflatten(1, self.prior.noise_shape).clamp(-1, 1)
