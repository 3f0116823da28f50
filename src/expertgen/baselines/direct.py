"""RL on the actions themselves, without a prior: from scratch, or with demonstrations in the batches.

With half of every batch from demonstrations this is RLPD (https://arxiv.org/abs/2302.02948): off-policy learning with
LayerNorm critics, several of them, and the demonstrations' transitions beside the agent's own. An action is a chunk,
like the prior's, but it may be shorter. The agent may also be FastTD3, and, from scratch, the reward the simulator's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.errors import UsageError
from expertgen.prior.prior import Prior
from expertgen.rl.fast_td3 import FastTd3Config
from expertgen.rl.learner import success_reward
from expertgen.rl.sac import SacConfig
from expertgen.runs.ranges import Count, Positive, Share, check_ranges
from expertgen.tasks.chunks import ChunkOutcome
from expertgen.tasks.spec import TaskSpec


@dataclass(frozen=True)
class DirectConfig:
    """RL on the actions themselves."""

    chunk_length: Count = 4
    """Control steps of a decision."""
    demo_share: Share = 0.5
    """Share of every batch drawn from demonstrations that succeeded; 0 is RL from scratch."""
    updates_per_decision: Positive = 0.25
    """Gradient steps for every decision of every environment."""
    reward: Literal["sparse", "dense"] = "sparse"
    """1 at success, or the simulator's own reward, where the task has one; `docs/baselines.md` has its scale."""
    algorithm: Literal["sac", "fast-td3"] = "sac"
    """Who chooses the actions."""
    sac: SacConfig = field(default_factory=lambda: SacConfig(critics=5, target_entropy=-0.5))
    """Soft actor-critic."""
    fast_td3: FastTd3Config = field(default_factory=FastTd3Config)
    """FastTD3."""

    def __post_init__(self) -> None:
        check_ranges(self, "direct")
        if self.reward == "dense" and self.demo_share:
            raise UsageError(
                "direct.reward dense does not fit demonstrations in the batches; set direct.demo_share to 0"
            )

    @property
    def agent(self) -> SacConfig | FastTd3Config:
        """Options of the algorithm that is used."""
        return self.sac if self.algorithm == "sac" else self.fast_td3

    def reward_of(self, task: TaskSpec) -> Callable[[ChunkOutcome], np.ndarray]:
        """What a decision is rewarded with.

        Raises:
            UsageError: if a dense reward is wanted, and the task has none.
        """
        if self.reward == "sparse":
            return success_reward
        largest, discount = task.largest_reward, self.agent.discount**self.chunk_length
        if largest is None:
            raise UsageError(f"direct.reward dense: task {task.id!r} has no dense reward; set direct.reward to sparse")
        return lambda outcome: dense_reward(outcome, largest, discount)


def dense_reward(outcome: ChunkOutcome, largest: float, discount: float) -> np.ndarray:
    """Rewards of decisions, float32 `[N]`, whose returns lie in [0, 1] as a classifier of success needs it.

        R = (1 - γ) · (mean reward of the control steps that were run) / r_max  +  γ · [success]

    Without the last term, the return is the discounted mean of the simulator's reward, in parts of its largest value:
    (1 - γ) Σ γ^t r_t / r_max. Success ends an episode here, and with it all reward, so that an agent would rather stay
    close to success than succeed. The last term is what staying successful would have earned: r_max for ever.

    Args:
        outcome: of the chunks.
        largest: r_max, the largest reward of a control step.
        discount: γ, per decision.
    """
    share = (outcome.reward / outcome.steps / largest).clip(0, 1)
    return ((1 - discount) * share + discount * outcome.success).astype(np.float32)


class DirectController:
    """An action is a chunk. See `expertgen.rl.process.Controller`.

    Args:
        prior: whose scale of observations is used, and nothing else of it.
        chunk_length: H.
        device: where tensors are.
    """

    def __init__(self, prior: Prior, chunk_length: int, device: str | torch.device = "cpu") -> None:
        self.prior = prior
        self.chunk_length = chunk_length
        self.device = torch.device(device)
        self.observation_size = prior.observation_size
        self.action_size = chunk_length * prior.noise_shape[1]

    def reset(self, ids: np.ndarray) -> None:
        """Nothing is remembered between decisions."""

    def warm_up(
        self, normal: Float[Tensor, "batch decided"], seen: Float[Tensor, "batch seen"]
    ) -> Float[Tensor, "batch decided"]:
        """Uniform actions."""
        return torch.erf(normal / 2**0.5)

    def measures(self, action: Float[Tensor, "batch decided"]) -> dict[str, float]:
        """Root mean square of the actions."""
        return {"action_norm": float(action.square().mean().sqrt())}

    def observe(self, observation: np.ndarray, ids: np.ndarray) -> Float[Tensor, "batch seen"]:
        """The observation as the prior's network would see it."""
        return self.prior.normalize(torch.as_tensor(observation, device=self.device))

    def chunk(
        self, observation: np.ndarray, action: Float[Tensor, "batch decided"], ids: np.ndarray
    ) -> Float[Tensor, "batch horizon action"]:
        """The action, step by step."""
        return action.clamp(-1, 1).unflatten(1, (self.chunk_length, self.prior.noise_shape[1]))
