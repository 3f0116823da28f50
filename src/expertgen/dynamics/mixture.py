"""A mixture density network (Bishop 1994): what transition occupancy matching was published with.

Each target has K Gaussian components of its own, independent of the other targets:
p(y | x) = Π_d Σ_k π_dk(x) N(y_d; μ_dk(x), σ²_dk(x)).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.dynamics.ensemble import VarianceBounds, gaussian_nll
from expertgen.dynamics.model import Distribution, DynamicsModel, ModelConfig, normal_like


def mixture_nll(
    log_share: Float[Tensor, "*shape components"],
    mean: Float[Tensor, "*shape components"],
    log_variance: Float[Tensor, "*shape components"],
    target: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape"]:
    """-log Σ_k exp(log_share_k) N(target; mean_k, exp(log_variance_k)), for each number, by log-sum-exp."""
    component = gaussian_nll(mean, log_variance, target[..., None].expand_as(mean))
    return -torch.logsumexp(log_share - component, dim=-1)


class MixtureEnsemble(DynamicsModel):
    """Every member predicts a Gaussian mixture for each target.

    Args:
        observation_size: D.
        action_size: A.
        config: sizes and options; one member is the mixture density network as published.
        components: K.
    """

    def __init__(self, observation_size: int, action_size: int, config: ModelConfig, components: int = 10) -> None:
        super().__init__(observation_size, action_size, config, outputs_per_target=3 * components)
        self.components = components
        self.bounds = VarianceBounds(config.members, self.targets * components)

    def decode(self, output: Tensor, members: Tensor | None) -> Distribution:
        """Log shares, means and log variances, each `[members, batch, targets, components]`."""
        logit, mean, log_variance = output.chunk(3, dim=-1)
        shape = (self.targets, self.components)
        log_share = logit.unflatten(-1, shape).log_softmax(dim=-1)
        return log_share, mean.unflatten(-1, shape), self.bounds(log_variance, members).unflatten(-1, shape)

    def deviance(
        self, distribution: Distribution, target: Float[Tensor, "members batch targets"]
    ) -> Float[Tensor, "members batch"]:
        """Negative log-likelihood, averaged over targets, and the penalty of the bounds, averaged over components."""
        log_share, mean, log_variance = distribution
        return mixture_nll(log_share, mean, log_variance, target).mean(dim=-1) + self.bounds.penalty() / self.components

    def mean(self, distribution: Distribution) -> Float[Tensor, "members batch targets"]:
        """Σ_k π_k μ_k."""
        log_share, mean, _ = distribution
        return (log_share.exp() * mean).sum(dim=-1)

    def sample(self, distribution: Distribution, generator: torch.Generator) -> Float[Tensor, "members batch targets"]:
        """Draws a component, then a number from it."""
        log_share, mean, log_variance = distribution
        point = torch.rand((*mean.shape[:-1], 1), generator=generator, device=generator.device).to(mean.device)
        passed = log_share.exp().cumsum(dim=-1)[..., :-1] < point
        component = passed.sum(dim=-1, keepdim=True)
        mean, log_variance = (x.gather(-1, component).squeeze(-1) for x in (mean, log_variance))
        return mean + (0.5 * log_variance).exp() * normal_like(mean, generator)
