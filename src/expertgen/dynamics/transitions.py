"""Transitions as models and weightings see them: rows of tensors in the order in which they were experienced."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Transitions:
    """Transitions in the order in which they were experienced, oldest first; all tensors on one device.

    Attributes:
        observation: `[..., D]`.
        action: `[..., A]`, in [-1, 1].
        reward: `[...]`.
        next_observation: `[..., D]`, the true one, also where the episode ended.
        terminated: `[...]`, the task ended: no bootstrap.
        truncated: `[...]`, the time limit was reached: bootstrap.
    """

    observation: Float[Tensor, "*batch observation"]
    action: Float[Tensor, "*batch action"]
    reward: Float[Tensor, "*batch"]
    next_observation: Float[Tensor, "*batch observation"]
    terminated: Bool[Tensor, "*batch"]
    truncated: Bool[Tensor, "*batch"]

    def __len__(self) -> int:
        """Rows of the first dimension."""
        return len(self.reward)

    def __getitem__(self, rows: Any) -> Transitions:
        """Rows by any index of the first dimension; an index `[members, batch]` gives `[members, batch, ...]`."""
        return Transitions(*(getattr(self, field.name)[rows] for field in fields(self)))
