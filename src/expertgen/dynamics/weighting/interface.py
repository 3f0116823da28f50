"""What a weighting is, what it may ask of a policy, and the numbers that tell whether its weights are healthy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting.check import checked
from expertgen.dynamics.weighting.tom import bounded, effective_sample_size, mixed
from expertgen.errors import UsageError
from expertgen.runs.ranges import Part, check_ranges

AGES = 10
"""Parts of the buffer, by age, whose mean weights are logged."""


@runtime_checkable
class Policy(Protocol):
    """The policy whose world a model has to know."""

    def sample(
        self, observation: Float[Tensor, "batch observation"], generator: torch.Generator
    ) -> Float[Tensor, "batch action"]:
        """Draws one action for each observation."""
        ...

    def distribution(
        self, observation: Float[Tensor, "batch observation"]
    ) -> tuple[Float[Tensor, "batch action"], Float[Tensor, "batch action"]]:
        """Mean and log standard deviation of the actions before their tanh."""
        ...


@runtime_checkable
class Weighting(Protocol):
    """How much each transition of a buffer counts in the training of a model.

    Attributes:
        name: what it is called in messages.
        health: figures of the last fit, see `weight_health`.
    """

    name: str
    health: dict[str, float]

    def fit(
        self, transitions: Transitions, policy: Policy, start_observations: Float[Tensor, "starts observation"]
    ) -> Float[Tensor, " n"]:
        """Weights of all transitions for the present policy: finite, not negative, mean 1.

        Args:
            transitions: the whole buffer, oldest first.
            policy: the present policy.
            start_observations: the first observations of episodes.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """Everything that the next fit continues from, as named tensors."""
        ...

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`; `path` is named if a tensor is missing or of another shape (FileError)."""
        ...


@dataclass(frozen=True)
class Limits:
    """How far weights may go from uniform ones."""

    largest: float = 10.0
    """Largest weight, of weights with mean 1."""
    mix: Part = 0.5
    """Share λ of the weighting; the rest is uniform, so no weight falls below 1 - λ: what a model needs all data for
    stays learned."""

    def __post_init__(self) -> None:
        check_ranges(self, "limits")
        if not self.largest >= 1:
            raise UsageError(f"limits.largest must be at least 1, the mean weight, not {self.largest}")

    def apply(self, weights: Float[Tensor, " n"], name: str) -> Float[Tensor, " n"]:
        """Bounds the weights, then mixes them with uniform ones; the mean stays 1.

        Raises:
            UsageError: naming the weighting, if weights are not finite.
        """
        return checked(mixed(bounded(weights, 0.0, self.largest), self.mix), len(weights), name)


def weight_health(weights: Float[Tensor, " n"], raw_mean: float = 1.0) -> dict[str, float]:
    """The figures to watch: weights that live on few rows, or on the wrong end of the buffer, teach a model little.

    Args:
        weights: final weights, in the order of the buffer, oldest first.
        raw_mean: mean of the weights as they were before they were normalised.

    Returns:
        `raw_mean`; `effective_sample_size` as a share of the rows; `largest`; `zeros`, the share of rows with weight 0;
        `age_1` ... `age_10`, the mean weight of each tenth of the rows by age, the newest first. Where the rows cannot
        be dealt into ten equal parts, neighbours share a row.
    """
    tenths = torch.nn.functional.adaptive_avg_pool1d(weights.flip(0)[None], AGES)[0]
    return {
        "raw_mean": raw_mean,
        "effective_sample_size": float(effective_sample_size(weights)),
        "largest": float(weights.max()),
        "zeros": float((weights == 0).float().mean()),
        **{f"age_{age}": value for age, value in enumerate(tenths.tolist(), start=1)},
    }
