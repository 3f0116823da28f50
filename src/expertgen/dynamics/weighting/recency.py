"""Newer transitions count more, and nothing else matters: what every cleverer weighting has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting.interface import Policy, weight_health
from expertgen.errors import UsageError


class Recency:
    """Weights fall exponentially with age: w ∝ exp(-age / scale), where the newest transition has age 0.

    Args:
        scale: age at which a weight has fallen to 1/e of the newest, in transitions.
    """

    def __init__(self, scale: float) -> None:
        if not scale > 0:
            raise UsageError(f"recency.scale must be positive, not {scale}")
        self.name = "recency"
        self.health: dict[str, float] = {}
        self.scale = scale

    def fit(
        self, transitions: Transitions, policy: Policy, start_observations: Float[Tensor, "starts observation"]
    ) -> Float[Tensor, " n"]:
        """Weights by age alone."""
        reward = transitions.reward
        age = torch.arange(len(reward) - 1, -1, -1, dtype=torch.float64, device=reward.device)
        weights = (-age / self.scale).exp()
        weights = (weights / weights.mean()).to(reward.dtype)
        self.health = weight_health(weights)
        return weights

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Nothing to restore."""
