"""The one shape of a policy: every stage's result (program, prior, expert, student) is evaluated through it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Policy(Protocol):
    """Plans chunks of `H` control steps, for any subset of the environments it runs in.

    Attributes:
        chunk_length: `H`.
    """

    chunk_length: int

    def reset(self, ids: np.ndarray) -> None:
        """New episodes begin in the environments `ids` `[n]`: forget what belongs to the old ones."""
        ...

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Plans the next chunk.

        Args:
            observation: float32 `[n, D]`, rows of the environments `ids`.
            ids: int64 `[n]`, indices of those environments (a camera policy looks through their cameras, a program
                keeps its memory by them).

        Returns:
            float32 `[n, H, A]`, actions in [-1, 1].
        """
        ...
