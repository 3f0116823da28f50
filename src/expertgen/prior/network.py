"""The noise predictor: a residual MLP over observation, noised chunk and timestep."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x + Linear(SiLU(Linear(LayerNorm(x))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, width)
        self.leave = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        """Adds the block's output to its input."""
        return x + self.leave(nn.functional.silu(self.enter(self.norm(x))))


class NoiseNetwork(nn.Module):
    """Predicts the noise in a noised chunk: ε_θ(observation, x_t, t).

    Args:
        observation_size: columns of the (normalised) observation.
        chunk_length: H, control steps a chunk plans.
        action_size: A.
        levels: number of diffusion levels; each has a learned embedding.
        width: hidden width.
        depth: residual blocks.
    """

    def __init__(
        self, observation_size: int, chunk_length: int, action_size: int, levels: int, width: int, depth: int
    ) -> None:
        super().__init__()
        embedding_size = 32
        flat = chunk_length * action_size
        self.time_embedding = nn.Embedding(levels, embedding_size)
        self.enter = nn.Linear(observation_size + flat + embedding_size, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, flat))

    def forward(
        self,
        observation: Float[Tensor, "batch observation"],
        noised: Float[Tensor, "batch horizon action"],
        timestep: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch horizon action"]:
        """Returns the predicted noise, of the shape of `noised`."""
        inputs = torch.cat([observation, noised.flatten(1), self.time_embedding(timestep)], dim=1)
        return self.leave(self.blocks(self.enter(inputs))).view_as(noised)
