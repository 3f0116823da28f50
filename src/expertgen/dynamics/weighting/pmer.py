"""Prioritised model experience replay: transitions that the model gets wrong count more, without any density ratio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting.interface import Limits, Policy, weight_health
from expertgen.errors import UsageError

ModelError = Callable[[Transitions], Float[Tensor, " n"]]
"""Error of the present model on each transition, not negative, in any unit."""


class Pmer:
    """w = (1 - λ) + λ errorᵅ / mean(errorᵅ), bounded.

    The error stands for the mismatch between policy and buffer: what the model has not yet learned is what the policy
    has begun to do. It also stands for noise that no model can learn, which is why it is mixed with uniform weights.

    Args:
        error: the model's error on each transition.
        exponent: α, from 0 (uniform) to 1 (proportional to the error).
        limits: largest weight and λ.
    """

    def __init__(self, error: ModelError, exponent: float = 1.0, limits: Limits | None = None) -> None:
        if not exponent >= 0:
            raise UsageError(f"pmer.exponent must not be negative, but is {exponent}")
        self.name = "pmer"
        self.health: dict[str, float] = {}
        self.error = error
        self.exponent = exponent
        self.limits = limits or Limits()

    def fit(
        self, transitions: Transitions, policy: Policy, start_observations: Float[Tensor, "starts observation"]
    ) -> Float[Tensor, " n"]:
        """Weights by the model's present error; where there is none at all, uniform ones.

        Raises:
            UsageError: if an error is negative or not finite.
        """
        with torch.no_grad():
            raw = self.error(transitions).double().pow(self.exponent)
            mean = raw.mean()
            # The smallest normal number: errors that are all zero stay zero, and the bound makes them uniform.
            scaled = raw / mean.clamp(min=torch.finfo(raw.dtype).tiny)
            weights = self.limits.apply(scaled, self.name).to(transitions.reward.dtype)
        self.health = weight_health(weights, float(mean))
        return weights

    def state(self) -> dict[str, Tensor]:
        """Nothing: the model is another's."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Nothing to restore."""
