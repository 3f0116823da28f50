"""Noise as an action: the agent chooses the initial noise w of a frozen prior, which turns it into a chunk."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.errors import UsageError
from expertgen.prior.prior import Prior


def cosine_basis(rank: int, horizon: int) -> Float[Tensor, "rank horizon"]:
    """The slowest `rank` courses over a chunk: a constant, half a cosine, a whole one ...

    Scaled so that Σ_k z_k B_k has unit variance, averaged over the chunk, for z ~ N(0, I).
    """
    phase = (torch.arange(horizon) + 0.5) / horizon * math.pi
    rows = [math.sqrt(2 if k else 1) * (k * phase).cos() for k in range(rank)]
    return torch.stack(rows) / math.sqrt(rank)


@dataclass(frozen=True)
class NoiseSpace:
    """Which noises an agent can choose, and by which action.

    Attributes:
        bound: b.
        rank: r. 0 leaves every step of the chunk its own noise. Otherwise, in each action dimension, noise over the chunk
            is made of r slow courses (`cosine_basis`); 1 is one noise for all steps.
        around_prior: w = ε + b · a with ε ~ N(0, I) of every decision: actions of zero are the prior itself, and the bound
            is how far it can be left. Without it w = b · a.
    """  # noqa: E501

    bound: float = 1.5
    rank: int = 0
    around_prior: bool = False

    def action_size(self, noise_shape: tuple[int, int]) -> int:
        """Numbers that an action has.

        Raises:
            UsageError: if a chunk has fewer steps than the noise has courses.
        """
        horizon, action_size = noise_shape
        if self.rank > horizon:
            raise UsageError(f"steer.noise_rank ({self.rank}) exceeds the chunk's length ({horizon})")
        return (self.rank or horizon) * action_size

    def noise(
        self,
        action: Float[Tensor, "batch decided"],
        noise_shape: tuple[int, int],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch horizon action"]:
        """Turns actions in [-1, 1] into noise.

        Args:
            action: `[B, A']`; what lies outside is clipped.
            noise_shape: (H, A).
            generator: source of ε (CPU); without it ε is zero.
        """
        horizon, action_size = noise_shape
        noise = (self.bound * action.clamp(-1, 1)).unflatten(1, (self.rank or horizon, action_size))
        if self.rank:
            basis = cosine_basis(self.rank, horizon).to(noise.device)
            noise = torch.einsum("bra,rh->bha", noise, basis)
        if self.around_prior and generator is not None:
            noise = noise + torch.randn(noise.shape, generator=generator).to(noise.device)
        return noise


class NoiseController:
    """An action is noise, decoded by the prior. See `expertgen.rl.process.Controller`.

    Args:
        prior: the frozen prior.
        space: which noises there are.
        generator: source of ε (CPU); without it ε is zero.
        device: where the prior's weights are.

    Attributes:
        noise: what was decoded last `[n, H, A]`.
    """

    noise: Float[Tensor, "batch horizon action"]

    def __init__(
        self,
        prior: Prior,
        space: NoiseSpace,
        generator: torch.Generator | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.prior = prior
        self.space = space
        self.generator = generator
        self.device = torch.device(device)
        self.observation_size = prior.observation_size
        self.chunk_length = prior.noise_shape[0]
        self.action_size = space.action_size(prior.noise_shape)

    def reset(self, ids: np.ndarray) -> None:
        """Nothing is remembered between decisions."""

    def warm_up(
        self, normal: Float[Tensor, "batch decided"], seen: Float[Tensor, "batch seen"]
    ) -> Float[Tensor, "batch decided"]:
        """The prior's own behaviour: N(0, I) noise, clipped to the bound, or no step away from it."""
        return torch.zeros_like(normal) if self.space.around_prior else (normal / self.space.bound).clamp(-1, 1)

    def measures(self, action: Float[Tensor, "batch decided"]) -> dict[str, float]:
        """Root mean square of the noise that was decoded last, in deviations of N(0, I)."""
        return {"noise_norm": float(self.noise.square().mean().sqrt())}

    def observe(self, observation: np.ndarray, ids: np.ndarray) -> Float[Tensor, "batch seen"]:
        """The observation as the prior's network sees it."""
        return self.prior.normalize(torch.as_tensor(observation, device=self.device))

    def chunk(
        self, observation: np.ndarray, action: Float[Tensor, "batch decided"], ids: np.ndarray
    ) -> Float[Tensor, "batch horizon action"]:
        """Decodes noise."""
        self.noise = self.space.noise(action, self.prior.noise_shape, self.generator)
        return self.prior.decode(torch.as_tensor(observation, device=self.device), self.noise)
