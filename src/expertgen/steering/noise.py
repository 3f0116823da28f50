"""Noise as an action: the agent chooses the initial noise w of a frozen prior, which turns it into a chunk."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.prior.prior import Prior


class NoiseController:
    """w = b · a, within ±b in each of its dimensions. See `expertgen.rl.process.Controller`.

    Args:
        prior: the frozen prior.
        noise_bound: b.
        device: where the prior's weights are.

    Attributes:
        noise: what was decoded last `[n, H, A]`.
    """

    noise: Float[Tensor, "batch horizon action"]

    def __init__(self, prior: Prior, noise_bound: float, device: str | torch.device = "cpu") -> None:
        self.prior = prior
        self.noise_bound = noise_bound
        self.device = torch.device(device)
        self.observation_size = prior.observation_size
        self.chunk_length = prior.noise_shape[0]
        self.action_size = prior.noise_shape[0] * prior.noise_shape[1]

    def reset(self, ids: np.ndarray) -> None:
        """Nothing is remembered between decisions."""

    def warm_up(self, normal: Float[Tensor, "batch decided"]) -> Float[Tensor, "batch decided"]:
        """N(0, I) noise, the prior's own behaviour, clipped to the bound."""
        return (normal / self.noise_bound).clamp(-1, 1)

    def measures(self, action: Float[Tensor, "batch decided"]) -> dict[str, float]:
        """Root mean square of the noise, in deviations of N(0, I)."""
        return {"noise_norm": float(self.noise_bound * action.clamp(-1, 1).square().mean().sqrt())}

    def observe(self, observation: np.ndarray, ids: np.ndarray) -> Float[Tensor, "batch seen"]:
        """The observation as the prior's network sees it."""
        return self.prior.normalize(torch.as_tensor(observation, device=self.device))

    def chunk(
        self, observation: np.ndarray, action: Float[Tensor, "batch decided"], ids: np.ndarray
    ) -> Float[Tensor, "batch horizon action"]:
        """Decodes noise."""
        self.noise = (self.noise_bound * action.clamp(-1, 1)).unflatten(1, self.prior.noise_shape)
        return self.prior.decode(torch.as_tensor(observation, device=self.device), self.noise)
