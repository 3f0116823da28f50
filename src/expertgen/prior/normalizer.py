"""Observation normalisation that travels inside the checkpoint."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Normalizer(nn.Module):
    """z-scores with a floor under the deviation and a clip, so that a constant or unseen value cannot explode.

    Buffers (saved with the network that uses them): `mean` and `deviation` `[D]`, in the units of the observation.
    """

    floor = 1e-3
    clip = 8.0

    mean: Tensor
    deviation: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))

    @classmethod
    def fit(cls, rows: Float[Tensor, "rows size"]) -> Normalizer:
        """Returns the normaliser of these rows."""
        normalizer = cls(rows.shape[1])
        normalizer.mean.copy_(rows.double().mean(dim=0))
        normalizer.deviation.copy_(rows.double().std(dim=0, correction=0) + cls.floor)
        return normalizer

    def forward(self, x: Float[Tensor, "*batch size"]) -> Float[Tensor, "*batch size"]:
        """Returns z-scores within ±`clip`."""
        return ((x - self.mean) / self.deviation).clamp(-self.clip, self.clip)
