"""The small network that discriminator and multiplier share, and how it is evaluated on a whole buffer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

CHUNK_ROWS = 4096
"""Rows evaluated at once: their hidden layers still fit into the cache."""


class ScalarNetwork(nn.Module):
    """An MLP from a vector to one number, which is 0 everywhere before training.

    Args:
        size_in: columns of the input.
        width: hidden width.
        depth: hidden layers (Linear, SiLU: smooth, so that gradients of its gradient are of use).
    """

    def __init__(self, size_in: int, width: int, depth: int) -> None:
        super().__init__()
        sizes = [size_in] + [width] * depth
        self.body = nn.Sequential(
            *(nn.Sequential(nn.Linear(size, width), nn.SiLU()) for size, width in pairwise(sizes))
        )
        self.head = nn.Linear(width, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Float[Tensor, "batch size_in"]) -> Float[Tensor, " batch"]:
        """One number for each row."""
        return self.head(self.body(x)).squeeze(-1)


@torch.inference_mode()
def in_chunks(function: Callable[[slice], Tensor], rows: int) -> Float[Tensor, " rows"]:
    """Evaluates `function` on consecutive slices of `rows` rows and joins the results."""
    return torch.cat([function(slice(start, start + CHUNK_ROWS)) for start in range(0, rows, CHUNK_ROWS)])
