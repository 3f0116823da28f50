"""Residual RL: a correction of each action of the frozen prior, learnt from success alone.

    a_t = clip(a_t^prior + scale · residual(s_t, a_t^prior))

The prior plans chunks under N(0, I) noise, as it does on its own; the residual corrects them step by step, seeing the
state and the prior's action (ResiP, https://arxiv.org/abs/2407.16677). Exploration is progressive: the residual acts only
with a probability that rises over the first part of the budget (Policy Decorator, https://arxiv.org/abs/2412.13630), so
that learning begins from what the prior reaches.
"""  # noqa: E501

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.errors import UsageError
from expertgen.prior.prior import Prior
from expertgen.rl.sac import SacConfig
from expertgen.runs.ranges import Positive, Share, check_ranges


@dataclass(frozen=True)
class ResidualConfig:
    """Residual RL on the prior's actions, step by step."""

    scale: float = 0.8
    """Largest correction, in parts of the largest action."""
    progressive_share: Share = 0.15
    """Part of the budget until the residual acts at every step; before, at an ever larger share of them."""
    updates_per_step: Positive = 0.125
    """Gradient steps for every control step of every environment."""
    sac: SacConfig = field(default_factory=lambda: SacConfig(n_step=8))
    """The agent."""

    def __post_init__(self) -> None:
        check_ranges(self, "residual")
        if not 0 < self.scale <= 2:
            raise UsageError(
                f"residual.scale must lie in (0, 2], not {self.scale}: 0 corrects nothing, 2 reaches every action"
            )


class ResidualController:
    """An action corrects one control step of the prior. See `expertgen.rl.process.Controller`.

    Args:
        prior: the frozen prior.
        scale: largest correction.
        generator: source of the prior's noise (CPU).
        device: where the prior's weights are.
    """

    chunk_length = 1

    def __init__(
        self,
        prior: Prior,
        scale: float,
        generator: torch.Generator,
        device: str | torch.device = "cpu",
    ) -> None:
        self.prior = prior
        self.scale = scale
        self.generator = generator
        self.device = torch.device(device)
        horizon, action_size = prior.noise_shape
        self.action_size = action_size
        self.observation_size = prior.observation_size + action_size
        self._plans = torch.zeros(0, horizon, action_size, device=self.device)
        self._next = torch.zeros(0, dtype=torch.long)

    def reset(self, ids: np.ndarray) -> None:
        """Old plans are forgotten."""
        self._grow(int(ids.max(initial=-1)) + 1)
        self._next[torch.as_tensor(ids)] = self.prior.noise_shape[0]

    def warm_up(
        self, normal: Float[Tensor, "batch decided"], seen: Float[Tensor, "batch seen"]
    ) -> Float[Tensor, "batch decided"]:
        """No correction: the prior's own behaviour."""
        return torch.zeros_like(normal)

    def measures(self, action: Float[Tensor, "batch decided"]) -> dict[str, float]:
        """Root mean square of the corrections, in parts of the largest action."""
        return {"residual_norm": float(self.scale * action.square().mean().sqrt())}

    def observe(self, observation: np.ndarray, ids: np.ndarray) -> Float[Tensor, "batch seen"]:
        """What the prior's network sees, and the action that the prior has planned; old plans are renewed."""
        index, horizon = torch.as_tensor(ids), self.prior.noise_shape[0]
        rows = torch.as_tensor(observation, device=self.device)
        stale = self._next[index] >= horizon
        if stale.any():
            noise = torch.randn(int(stale.sum()), *self.prior.noise_shape, generator=self.generator).to(self.device)
            self._plans[index[stale]] = self.prior.decode(rows[stale.to(self.device)], noise)
            self._next[index[stale]] = 0
        base = self._plans[index, self._next[index]]
        self._next[index] += 1
        return torch.cat([self.prior.normalize(rows), base], dim=1)

    def chunk(
        self, observation: np.ndarray, action: Float[Tensor, "batch decided"], ids: np.ndarray
    ) -> Float[Tensor, "batch horizon action"]:
        """The planned actions, corrected."""
        index = torch.as_tensor(ids)
        base = self._plans[index, self._next[index] - 1]
        return (base + self.scale * action.clamp(-1, 1)).clamp(-1, 1)[:, None]

    def _grow(self, environments: int) -> None:
        more = environments - len(self._plans)
        if more > 0:
            horizon, action_size = self.prior.noise_shape
            self._plans = torch.cat([self._plans, torch.zeros(more, horizon, action_size, device=self.device)])
            self._next = torch.cat([self._next, torch.full((more,), horizon)])
