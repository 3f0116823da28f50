"""All transitions alike: maximum likelihood on the whole buffer, as MBPO trains its model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting.interface import Policy, weight_health


class Uniform:
    """Weight 1 for every transition (Janner et al. 2019, https://arxiv.org/abs/1906.08253)."""

    def __init__(self) -> None:
        self.name = "uniform"
        self.health: dict[str, float] = {}

    def fit(
        self, transitions: Transitions, policy: Policy, start_observations: Float[Tensor, "starts observation"]
    ) -> Float[Tensor, " n"]:
        """Ones."""
        weights = torch.ones_like(transitions.reward)
        self.health = weight_health(weights)
        return weights

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Nothing to restore."""
