"""The one check that all weights pass before a model sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from expertgen.errors import UsageError


def checked(weights: Tensor, rows: int, name: str) -> Tensor:
    """Returns `weights` if there is one for each transition, finite and not negative, and not all are 0.

    Args:
        weights: what the weighting gave.
        rows: number of transitions.
        name: the weighting's name, for the message.

    Raises:
        UsageError: one line that names the weighting and what is wrong with its weights.
    """
    if weights.shape != (rows,):
        raise UsageError(f"the {name} weighting gave weights of shape {list(weights.shape)} for {rows} transitions")
    if not bool(torch.isfinite(weights).all()):
        row = int((~torch.isfinite(weights)).int().argmax())
        raise UsageError(
            f"the {name} weighting gave transition {row} a weight that is not finite: {float(weights[row])}"
        )
    if bool((weights < 0).any()):
        row = int((weights < 0).int().argmax())
        raise UsageError(f"the {name} weighting gave transition {row} a negative weight: {float(weights[row]):g}")
    if rows and not bool((weights > 0).any()):
        raise UsageError(f"the {name} weighting gave all {rows} transitions the weight 0")
    return weights
