"""Networks of the agents: MLPs with LayerNorm, and critics evaluated together in one batched matrix product."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

LOG_DEVIATION_RANGE = (-5.0, 1.0)


class TanhGaussianActor(nn.Module):
    """π(a | s) = tanh(N(μ(s), σ(s))), a in (-1, 1).

    Args:
        observation_size: D.
        action_size: A.
        width: hidden width.
        depth: hidden layers (Linear, LayerNorm, ReLU).
    """

    def __init__(self, observation_size: int, action_size: int, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size in [observation_size] + [width] * (depth - 1):
            layers += [nn.Linear(size, width), nn.LayerNorm(width), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, 2 * action_size)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, observation: Float[Tensor, "batch observation"]
    ) -> tuple[Float[Tensor, "batch action"], Float[Tensor, "batch action"]]:
        """Returns mean and log standard deviation before the tanh."""
        mean, log_deviation = self.head(self.body(observation)).chunk(2, dim=-1)
        return mean, log_deviation.clamp(*LOG_DEVIATION_RANGE)

    def sample(
        self, observation: Float[Tensor, "batch observation"], normal: Float[Tensor, "batch action"]
    ) -> tuple[Float[Tensor, "batch action"], Float[Tensor, " batch"]]:
        """Draws actions by reparametrisation.

        Args:
            observation: `[B, D]`.
            normal: `[B, A]`, standard normal numbers.

        Returns:
            actions in (-1, 1) and their log densities `[B]` (change of variables through tanh, in its stable form).
        """
        mean, log_deviation = self(observation)
        raw = mean + log_deviation.exp() * normal
        log_gaussian = -0.5 * normal.square() - log_deviation - 0.5 * math.log(2 * math.pi)
        log_slope = 2 * (math.log(2) - raw - nn.functional.softplus(-2 * raw))
        return raw.tanh(), (log_gaussian - log_slope).sum(dim=-1)


class _StackedLayer(nn.Module):
    """`critics` hidden layers side by side: ReLU(LayerNorm(x W) + shift), one batched matrix product.

    There is no bias before the LayerNorm, since the shift is behind it, and no scale, since ReLU passes positive
    scales on to the next layer's weights.
    """

    def __init__(self, critics: int, size_in: int, size_out: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(size_in)
        self.weight = nn.Parameter(torch.empty(critics, size_in, size_out).uniform_(-bound, bound))
        self.shift = nn.Parameter(torch.zeros(critics, 1, size_out))

    def forward(self, x: Float[Tensor, "critics batch size_in"]) -> Float[Tensor, "critics batch size_out"]:
        normalized = nn.functional.layer_norm(torch.bmm(x, self.weight), self.shift.shape[-1:])
        return torch.relu(normalized + self.shift)


class CriticEnsemble(nn.Module):
    """Several critics Q_i(s, a), evaluated together.

    Args:
        critics: number of critics.
        observation_size: D.
        action_size: A.
        width: hidden width.
        depth: hidden layers.
    """

    def __init__(self, critics: int, observation_size: int, action_size: int, width: int, depth: int) -> None:
        super().__init__()
        self.critics = critics
        sizes = [observation_size + action_size] + [width] * (depth - 1)
        self.body = nn.Sequential(*(_StackedLayer(critics, size, width) for size in sizes))
        self.weight = nn.Parameter(torch.empty(critics, width, 1).normal_(std=0.01))
        self.bias = nn.Parameter(torch.zeros(critics, 1, 1))

    def forward(
        self, observation: Float[Tensor, "batch observation"], action: Float[Tensor, "batch action"]
    ) -> Float[Tensor, "critics batch"]:
        """Returns one number per critic and row."""
        x = torch.cat([observation, action], dim=-1).expand(self.critics, -1, -1)
        return torch.baddbmm(self.bias, self.body(x), self.weight).squeeze(-1)
