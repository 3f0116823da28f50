"""Ensembles of networks: Gaussian ones, which say how sure they are, and deterministic ones.

Probabilistic ensembles follow PETS (Chua et al. 2018, https://arxiv.org/abs/1805.12114) and MBPO (Janner et al. 2019,
https://arxiv.org/abs/1906.08253), with two departures: every target is standardised, so that no unit outweighs another,
and bounds of the variance belong to a member, so that its best weights can be restored alone.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from expertgen.dynamics.model import Distribution, DynamicsModel, ModelConfig, normal_like

BOUND_PENALTY = 0.005
"""Weight of Σ (upper - lower bound of the log variance) in the loss of each member, which has bounds of its own.

MBPO's members share their bounds, and their summed loss is twice the log-likelihood with 0.01 of this: for each of its
seven members a seventh of what is asked here.
"""


def gaussian_nll(
    mean: Float[Tensor, "*shape"], log_variance: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """-log N(target; mean, exp(log_variance)), for each number."""
    return 0.5 * ((target - mean).square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi))


class VarianceBounds(nn.Module):
    """Learned bounds between which a log variance is clamped softly (Chua et al. 2018, appendix A.1).

    Without them, a variance far from the data is arbitrary. The penalty draws the bounds together.
    """

    def __init__(self, members: int, size: int) -> None:
        super().__init__()
        self.upper = nn.Parameter(torch.full((members, 1, size), 0.5))
        self.lower = nn.Parameter(torch.full((members, 1, size), -10.0))

    def forward(self, log_variance: Tensor, members: Tensor | None) -> Tensor:
        """Returns the log variance `[members, batch, size]` between the bounds."""
        upper, lower = (b if members is None else b[members] for b in (self.upper, self.lower))
        log_variance = upper - softplus(upper - log_variance)
        return lower + softplus(log_variance - lower)

    def penalty(self) -> Float[Tensor, "members 1"]:
        """The width between the bounds, summed over their columns."""
        return BOUND_PENALTY * (self.upper - self.lower).sum(dim=-1)


class GaussianEnsemble(DynamicsModel):
    """Every member predicts a Gaussian with a diagonal covariance."""

    def __init__(self, observation_size: int, action_size: int, config: ModelConfig) -> None:
        super().__init__(observation_size, action_size, config, outputs_per_target=2)
        self.bounds = VarianceBounds(config.members, self.targets)

    def decode(self, output: Tensor, members: Tensor | None) -> Distribution:
        """Mean and log variance, each `[members, batch, targets]`."""
        mean, log_variance = output.chunk(2, dim=-1)
        return mean, self.bounds(log_variance, members)

    def deviance(
        self, distribution: Distribution, target: Float[Tensor, "members batch targets"]
    ) -> Float[Tensor, "members batch"]:
        """Negative log-likelihood, averaged over targets, and the penalty of the bounds."""
        mean, log_variance = distribution
        return gaussian_nll(mean, log_variance, target).mean(dim=-1) + self.bounds.penalty()

    def mean(self, distribution: Distribution) -> Float[Tensor, "members batch targets"]:
        """The Gaussian's mean."""
        return distribution[0]

    def sample(self, distribution: Distribution, generator: torch.Generator) -> Float[Tensor, "members batch targets"]:
        """The mean plus noise."""
        mean, log_variance = distribution
        return mean + (0.5 * log_variance).exp() * normal_like(mean, generator)


class DeterministicEnsemble(DynamicsModel):
    """Every member predicts one point."""

    def __init__(self, observation_size: int, action_size: int, config: ModelConfig) -> None:
        super().__init__(observation_size, action_size, config, outputs_per_target=1)

    def decode(self, output: Tensor, members: Tensor | None) -> Distribution:
        """The point, `[members, batch, targets]`."""
        return (output,)

    def deviance(
        self, distribution: Distribution, target: Float[Tensor, "members batch targets"]
    ) -> Float[Tensor, "members batch"]:
        """Squared error, averaged over targets."""
        return (distribution[0] - target).square().mean(dim=-1)

    def mean(self, distribution: Distribution) -> Float[Tensor, "members batch targets"]:
        """The point."""
        return distribution[0]

    def sample(self, distribution: Distribution, generator: torch.Generator) -> Float[Tensor, "members batch targets"]:
        """The point."""
        return distribution[0]
