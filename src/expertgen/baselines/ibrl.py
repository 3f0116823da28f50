"""Imitation bootstrapped RL: the prior and an RL actor each propose a chunk, and the critics choose.

IBRL (https://arxiv.org/abs/2311.02198) keeps an imitation policy beside the agent all the time, and uses it twice:

    to act         a  = argmax_{a ∈ {a^prior, a^RL}} min_i Q̄_i(s, a)
    to bootstrap   y  = R + γ^n (1 - terminated) min_i Q̄_i(s', a'),   a' = argmax_{a' ∈ {a'^prior, a'^RL}} min_i Q̄_i(s', a')

so that what is learnt is never far worse than the better of the two. The imitation policy is the frozen prior under
N(0, I) noise, the agent the soft actor-critic of `direct` with demonstrations in its batches.

The prior's proposal is a part of what the agent sees: it is made once at each decision and kept in the replay, so that
updates never ask the prior. Actor and critics look at the state alone.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.prior.prior import Prior
from expertgen.rl.networks import Actor, CriticEnsemble
from expertgen.rl.replay import Batch
from expertgen.rl.sac import SacAgent, SacConfig
from expertgen.runs.ranges import Positive, Share, check_ranges


@dataclass(frozen=True)
class IbrlConfig:
    """Imitation bootstrapped RL on chunks of the prior's length."""

    demo_share: Share = 0.5
    """Share of every batch drawn from demonstrations that succeeded."""
    updates_per_decision: Positive = 0.5
    """Gradient steps for every decision of every environment."""
    sac: SacConfig = field(default_factory=lambda: SacConfig(critics=5, target_entropy=-0.5))
    """The agent."""

    def __post_init__(self) -> None:
        check_ranges(self, "ibrl")


class IbrlController:
    """An action is a chunk; the agent sees the state and the prior's proposal. See `expertgen.rl.process.Controller`.

    Args:
        prior: the frozen prior.
        generator: source of its noise (CPU).
        device: where its weights are.
    """

    def __init__(self, prior: Prior, generator: torch.Generator, device: str | torch.device = "cpu") -> None:
        self.prior = prior
        self.generator = generator
        self.device = torch.device(device)
        horizon, action_size = prior.noise_shape
        self.chunk_length = horizon
        self.action_size = horizon * action_size
        self.observation_size = prior.observation_size + self.action_size

    def reset(self, ids: np.ndarray) -> None:
        """Nothing is remembered between decisions."""

    def warm_up(
        self, normal: Float[Tensor, "batch decided"], seen: Float[Tensor, "batch seen"]
    ) -> Float[Tensor, "batch decided"]:
        """What the prior proposes."""
        return seen[:, -self.action_size :]

    def measures(self, action: Float[Tensor, "batch decided"]) -> dict[str, float]:
        """Root mean square of the actions."""
        return {"action_norm": float(action.square().mean().sqrt())}

    def observe(self, observation: np.ndarray, ids: np.ndarray) -> Float[Tensor, "batch seen"]:
        """The observation as the prior's network sees it, and a chunk that the prior makes of fresh noise."""
        rows = torch.as_tensor(observation, device=self.device)
        noise = torch.randn(len(rows), *self.prior.noise_shape, generator=self.generator).to(self.device)
        return torch.cat([self.prior.normalize(rows), self.prior.decode(rows, noise).flatten(1)], dim=1)

    def chunk(
        self, observation: np.ndarray, action: Float[Tensor, "batch decided"], ids: np.ndarray
    ) -> Float[Tensor, "batch horizon action"]:
        """The action, step by step."""
        return action.unflatten(1, self.prior.noise_shape)


class ChoosingActor(Actor):
    """Takes its own action or the proposal that it sees, whichever the critics value more.

    Args:
        action_size: A.
        actor: proposes actions of its own.
        critic: its lowest critic is what counts.
    """

    def __init__(self, action_size: int, actor: Actor, critic: CriticEnsemble) -> None:
        super().__init__()
        self.action_size = action_size
        self.actor = actor
        self.critic = critic

    def act(
        self, observation: Float[Tensor, "batch seen"], normal: Float[Tensor, "batch action"] | None = None
    ) -> Float[Tensor, "batch action"]:
        """See `Actor.act`; the last A columns of the observation are the proposal."""
        state, proposal = observation[:, : -self.action_size], observation[:, -self.action_size :]
        own = self.actor.act(state, normal)
        prefers_own = self.critic(state, own).amin(dim=0) >= self.critic(state, proposal).amin(dim=0)
        return torch.where(prefers_own[:, None], own, proposal)


class IbrlAgent:
    """Soft actor-critic that acts, and bootstraps, by the better of two proposals.

    Args:
        observation_size: D, of the state.
        action_size: A, of the proposals; the agent sees `[B, D + A]`.
        config: options.
        generator: source of every random number the agent draws (its device is the agent's).
    """

    def __init__(self, observation_size: int, action_size: int, config: SacConfig, generator: torch.Generator) -> None:
        self.sac = SacAgent(observation_size, action_size, config, generator)
        self.generator = generator
        self.action_size = action_size
        self._chooser = ChoosingActor(action_size, self.sac.actor, self.sac.target_critic)

    @property
    def average_actor(self) -> ChoosingActor:
        """What is validated and kept: the choice between the averaged actor and the prior."""
        return ChoosingActor(self.action_size, self.sac.average_actor, self.sac.target_critic)

    @torch.inference_mode()
    def explore(self, observation: Float[Tensor, "batch seen"]) -> Float[Tensor, "batch action"]:
        """The better of the prior's proposal and a sample of the raw actor, for collecting data."""
        return self._chooser.act(observation, self._normal(len(observation)))

    def update(self, batch: Batch, rate: float = 1.0) -> dict[str, Tensor]:
        """One gradient step of critics, actor and temperature.

        Args:
            batch: transitions.
            rate: part of the learning rate that is used, for a schedule.

        Returns:
            health metrics as detached scalars: those of `SacAgent.update`, and `prior_share`, the share of next states
            where the prior's proposal is the better one.
        """
        with torch.no_grad():
            next_action = self._chooser.act(batch.next_observation, self._normal(len(batch.reward)))
            proposed = batch.next_observation[:, -self.action_size :]
            prior_share = (next_action == proposed).all(dim=1).float().mean()
        states = [rows[:, : -self.action_size] for rows in (batch.observation, batch.next_observation)]
        batch = replace(batch, observation=states[0], next_observation=states[1])
        return self.sac.update(batch, rate, next_action) | {"prior_share": prior_share}

    def state(self) -> dict[str, Tensor]:
        """Everything that learning continues from, as named tensors."""
        return self.sac.state()

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`.

        Raises:
            FileError: naming `path`, if a tensor is missing or of another shape.
        """
        self.sac.load_state(tensors, path)

    def _normal(self, rows: int) -> Tensor:
        return torch.randn(rows, self.action_size, generator=self.generator, device=self.generator.device)
