"""Inversion: which noise would have made a given chunk? So that demonstrations can be replayed as choices of noise."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.prior.prior import DiffusionPrior
from expertgen.steering.noise import NoiseSpace

STEPS, STEP_SIZE = 150, 0.05
"""Gradient steps, and Adam's learning rate in them [parts of the bound]."""


def invert(
    prior: DiffusionPrior,
    space: NoiseSpace,
    seen: Float[Tensor, "batch observation"],
    chunk: Float[Tensor, "batch horizon action"],
) -> tuple[Float[Tensor, "batch decided"], Float[Tensor, " batch"]]:
    """Finds actions whose noise the prior decodes into given chunks, by descent through its sampler.

    Args:
        prior: the frozen prior.
        space: which noises there are.
        seen: observations as the prior's network sees them.
        chunk: chunks in [-1, 1].

    Returns:
        actions in [-1, 1], and the mean squared error of their chunks.
    """

    def error(action: Tensor) -> Tensor:
        decoded = prior.decode_normalized(seen, space.noise(action, prior.noise_shape))
        return (decoded - chunk).square().mean(dim=(1, 2))

    action = torch.zeros(len(seen), space.action_size(prior.noise_shape), device=seen.device, requires_grad=True)
    optimizer = torch.optim.Adam([action], STEP_SIZE)
    for _ in range(STEPS):
        (action.grad,) = torch.autograd.grad(error(action).sum(), action)
        optimizer.step()
        with torch.no_grad():
            action.clamp_(-1, 1)
    with torch.no_grad():
        return action.detach(), error(action)
