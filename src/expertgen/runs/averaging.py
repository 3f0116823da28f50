"""Exponential moving averages of network weights: what is evaluated and kept is calmer than what is trained."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, rate: float) -> None:
    """Moves the weights of `average` towards those of `module`: θ̄ ← θ̄ + rate · (θ - θ̄)."""
    # One call for all tensors: networks here are so small that a call for each would take longer than the arithmetic.
    torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), rate)  # pyright: ignore
