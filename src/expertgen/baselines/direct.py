"""RL on the actions themselves, without a prior: from scratch, or with demonstrations in the batches.

With half of every batch from demonstrations this is RLPD (https://arxiv.org/abs/2302.02948): off-policy learning with
LayerNorm critics, several of them, and the demonstrations' transitions beside the agent's own. An action is a chunk,
like the prior's, but it may be shorter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.errors import UsageError
from expertgen.prior.prior import Prior
from expertgen.rl.sac import SacConfig


@dataclass(frozen=True)
class DirectConfig:
    """RL on the actions themselves."""

    chunk_length: int = 4
    """Control steps of a decision."""
    demo_share: float = 0.5
    """Share of every batch drawn from demonstrations that succeeded; 0 is RL from scratch."""
    updates_per_decision: float = 0.25
    """Gradient steps for every decision of every environment."""
    sac: SacConfig = field(default_factory=lambda: SacConfig(critics=5, discount=0.985, target_entropy=-0.5))
    """The agent; its discount is per decision."""

    def __post_init__(self) -> None:
        if self.chunk_length < 1:
            raise UsageError(f"direct.chunk_length must be at least 1, not {self.chunk_length}")
        if not 0 <= self.demo_share < 1:
            raise UsageError(f"direct.demo_share must lie in [0, 1), not {self.demo_share}")
        if not self.updates_per_decision > 0:
            raise UsageError(f"direct.updates_per_decision must be positive, not {self.updates_per_decision}")


class DirectController:
    """An action is a chunk. See `expertgen.rl.process.Controller`.

    Args:
        prior: whose scale of observations is used, and nothing else of it.
        chunk_length: H.
        device: where tensors are.
    """

    def __init__(self, prior: Prior, chunk_length: int, device: str | torch.device = "cpu") -> None:
        self.prior = prior
        self.chunk_length = chunk_length
        self.device = torch.device(device)
        self.observation_size = prior.observation_size
        self.action_size = chunk_length * prior.noise_shape[1]

    def reset(self, ids: np.ndarray) -> None:
        """Nothing is remembered between decisions."""

    def warm_up(
        self, normal: Float[Tensor, "batch decided"], seen: Float[Tensor, "batch seen"]
    ) -> Float[Tensor, "batch decided"]:
        """Uniform actions."""
        return torch.erf(normal / 2**0.5)

    def measures(self, action: Float[Tensor, "batch decided"]) -> dict[str, float]:
        """Root mean square of the actions."""
        return {"action_norm": float(action.square().mean().sqrt())}

    def observe(self, observation: np.ndarray, ids: np.ndarray) -> Float[Tensor, "batch seen"]:
        """The observation as the prior's network would see it."""
        return self.prior.normalize(torch.as_tensor(observation, device=self.device))

    def chunk(
        self, observation: np.ndarray, action: Float[Tensor, "batch decided"], ids: np.ndarray
    ) -> Float[Tensor, "batch horizon action"]:
        """The action, step by step."""
        return action.clamp(-1, 1).unflatten(1, (self.chunk_length, self.prior.noise_shape[1]))
