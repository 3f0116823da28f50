"""The discriminator's density ratio alone: transition occupancy matching without its flow constraint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting.density_ratio import DensityRatio
from expertgen.dynamics.weighting.interface import Limits, Policy, weight_health
from expertgen.dynamics.weighting.tom import kl_weights


class Discriminator:
    """w ∝ exp(R), bounded: the ablation that tells what the multiplier of TOM is worth.

    Args:
        ratio: estimator of R = log d^π / d_D.
        limits: largest weight and mixing.
    """

    def __init__(self, ratio: DensityRatio, limits: Limits | None = None) -> None:
        self.name = "discriminator"
        self.health: dict[str, float] = {}
        self.ratio = ratio
        self.limits = limits or Limits()

    def fit(
        self, transitions: Transitions, policy: Policy, start_observations: Float[Tensor, "starts observation"]
    ) -> Float[Tensor, " n"]:
        """Refits the discriminator and weighs by its ratio."""
        self.ratio.fit(transitions)
        log_ratio = self.ratio.log_ratio(transitions)
        weights = self.limits.apply(kl_weights(log_ratio), self.name)
        self.health = weight_health(weights, float(log_ratio.exp().mean()))
        return weights

    def state(self) -> dict[str, Tensor]:
        """The discriminator's, as named tensors."""
        return self.ratio.state()

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`; `path` is named if a tensor is missing or of another shape (FileError)."""
        self.ratio.load_state(tensors, path)
