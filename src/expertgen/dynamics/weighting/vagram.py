"""Value-gradient weighted model learning: errors count along the directions in which the value changes.

Source: VaGraM (Voelcker et al. 2022, https://arxiv.org/abs/2204.01464). It is an objective and not a weighting: each
coordinate of each transition has its own factor.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Values = Callable[[Float[Tensor, "batch observation"]], Float[Tensor, "critics batch"]]
"""V_i(s) = Q_i(s, π(s)) of several critics."""


def value_gradients(
    values: Values, next_observation: Float[Tensor, "batch observation"], clip_quantile: float = 0.95
) -> Float[Tensor, "critics batch observation"]:
    """g_i = dV_i/ds' at the true next state, one for each critic, with the longest ones shortened.

    Args:
        values: values of a batch of states; where the action is a differentiable function of the state, the gradient
            goes through it.
        next_observation: the true next states, in the units in which model and target are compared.
        clip_quantile: gradients longer than this quantile of their critic's batch are shortened to it; 1 for no clip.
    """
    with torch.enable_grad():
        states = next_observation.detach().clone().requires_grad_()
        totals = values(states).sum(dim=1)
        gradients = torch.stack([torch.autograd.grad(total, states, retain_graph=True)[0] for total in totals])
    length = gradients.norm(dim=-1, keepdim=True)
    longest = length.quantile(clip_quantile, dim=1, keepdim=True)
    return gradients * (longest / length.clamp(min=torch.finfo(length.dtype).tiny)).clamp(max=1)


def value_gradient_loss(
    gradients: Float[Tensor, "critics *batch observation"],
    predicted: Float[Tensor, "*batch observation"],
    target: Float[Tensor, "*batch observation"],
    predicted_reward: Float[Tensor, "*batch"],
    reward: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch"]:
    """mean_i Σ_j (g_ij (ŝ'_j - s'_j))² + (r̂ - r)², for each sample.

    Args:
        gradients: g_i from `value_gradients`, held fixed.
        predicted: the model's next state, or its change.
        target: the true one, in the same units.
        predicted_reward: the model's reward.
        reward: the true one.
    """
    weighted = (gradients.detach() * (predicted - target)).square().sum(dim=-1)
    return weighted.mean(dim=0) + (predicted_reward - reward).square()
