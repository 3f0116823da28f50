"""Exponential moving averages of network weights: what is evaluated and kept is calmer than what is trained."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, rate: float) -> None:
    """Moves the weights of `average` towards those of `module`: θ̄ ← θ̄ + rate · (θ - θ̄)."""
    for mean, weight in zip(average.parameters(), module.parameters(), strict=True):
        mean.lerp_(weight, rate)
