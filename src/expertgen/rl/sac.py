"""Soft actor-critic for sparse success: the critic is a classifier of whether, and how soon, the episode will succeed.

Soft actor-critic (Haarnoja et al. 2018, https://arxiv.org/abs/1812.05905) with three departures, each for 0/1 rewards:

- With reward 1 at success and 0 before, the return lies in [0, 1] and is the discounted probability of success. The
  critic is therefore a sigmoid trained with binary cross-entropy on the n-step target
      y = R + γ^n (1 - terminated) min_i σ(Q̄_i(s', a')),   a' ~ π(s'),
  and the backup carries no entropy bonus, which would leave [0, 1]. Where there are more than two critics, each target
  takes the minimum of two that are drawn for it (REDQ, https://arxiv.org/abs/2101.05982).
- The actor maximises the mean *logit* instead of the probability. Where success is still rare, probabilities are flat
  near 0 and their gradient vanishes; logits keep their slope, so one temperature serves the whole run.
- The policy that is evaluated and deployed is an exponential moving average of the actor: the raw actor oscillates from
  update to update.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from expertgen.rl.networks import CriticEnsemble, TanhGaussianActor
from expertgen.rl.parts import agent_state, differentiate, load_agent_state, lowest
from expertgen.rl.replay import Batch
from expertgen.runs.averaging import update_average
from expertgen.runs.ranges import Count, Positive, Rate, check_ranges


@dataclass(frozen=True)
class SacConfig:
    """Soft actor-critic with a success classifier as critic."""

    width: Count = 128
    """Hidden width of actor and critics."""
    depth: Count = 3
    """Hidden layers of actor and critics."""
    critics: Count = 2
    """Critics."""
    target_critics: Count = 2
    """Critics that are drawn for each target, which takes their minimum; all, where there are no more."""
    learning_rate: Positive = 1e-3
    """Adam's learning rate, for actor, critics and temperature."""
    discount: Rate = 0.996
    """Discount per control step; a decision's is that, to the power of the length of its chunk."""
    n_step: Count = 3
    """Decisions that a return looks ahead before it bootstraps."""
    target_rate: Rate = 0.005
    """Polyak rate of the target critics."""
    average_rate: Rate = 0.002
    """Rate of the exponential moving average of the actor."""
    temperature: Positive = 0.02
    """Initial entropy temperature; it is learned."""
    target_entropy: float = 0.0
    """Target entropy of the policy per action dimension."""

    def __post_init__(self) -> None:
        check_ranges(self, "sac")


class SacAgent:
    """Actor, critics and temperature with their optimizer; actions lie in (-1, 1).

    Args:
        observation_size: D.
        action_size: A.
        config: options.
        generator: source of every random number the agent draws (its device is the agent's).
    """

    def __init__(self, observation_size: int, action_size: int, config: SacConfig, generator: torch.Generator) -> None:
        self.config = config
        self.generator = generator
        device = generator.device
        self.actor = TanhGaussianActor(observation_size, action_size, config.width, config.depth).to(device)
        self.critic = CriticEnsemble(config.critics, observation_size, action_size, config.width, config.depth).to(
            device
        )
        self.average_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_temperature = torch.tensor(config.temperature, device=device).log().requires_grad_()
        self.action_size = action_size
        self.optimizer = torch.optim.Adam(
            [*self.critic.parameters(), *self.actor.parameters(), self.log_temperature],
            config.learning_rate,
            fused=True,
        )

    @torch.inference_mode()
    def explore(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch action"]:
        """A sample of the raw actor, for collecting data."""
        return self.actor.act(observation, self._normal(len(observation)))

    def update(
        self,
        batch: Batch,
        rate: float = 1.0,
        next_action: Float[Tensor, "batch action"] | None = None,
    ) -> dict[str, Tensor]:
        """One gradient step of critics, actor and temperature.

        Args:
            batch: transitions.
            rate: part of the learning rate that is used, for a schedule.
            next_action: a' of the target; by default a sample of the actor.

        Returns:
            health metrics as detached scalars: `critic_loss`, `actor_loss`, `q` (mean probability on the batch),
            `td_error` (mean absolute), `entropy` (of the policy, per action dimension), `temperature`.
        """
        # Critic: cross-entropy against the n-step probability of success.
        with torch.no_grad():
            if next_action is None:
                next_action, _ = self.actor.sample(batch.next_observation, self._normal(len(batch.reward)))
            next_logits = self.target_critic(batch.next_observation, next_action)
            next_value = lowest(next_logits, self.config.target_critics, self.generator).sigmoid()
            target = batch.reward + batch.discount * next_value
        logits = self.critic(batch.observation, batch.action)
        critic_loss = binary_cross_entropy_with_logits(logits, target.expand_as(logits))
        differentiate(critic_loss, self.critic)

        # Actor: mean logit plus entropy.
        temperature = self.log_temperature.detach().exp()
        action, log_density = self.actor.sample(batch.observation, self._normal(len(batch.reward)))
        actor_loss = (temperature * log_density - self.critic(batch.observation, action).mean(dim=0)).mean()
        differentiate(actor_loss, self.actor)

        # Temperature: raise it while the policy's entropy is below the target.
        entropy = -log_density.detach().mean()
        self.log_temperature.grad = entropy - self.config.target_entropy * self.action_size

        self.optimizer.param_groups[0]["lr"] = rate * self.config.learning_rate
        self.optimizer.step()
        update_average(self.target_critic, self.critic, self.config.target_rate)
        update_average(self.average_actor, self.actor, self.config.average_rate)
        probability = logits.detach().sigmoid()
        return {
            "critic_loss": critic_loss.detach(),
            "actor_loss": actor_loss.detach(),
            "q": probability.mean(),
            "td_error": (probability - target).abs().mean(),
            "entropy": entropy / self.action_size,
            "temperature": temperature,
        }

    def state(self) -> dict[str, Tensor]:
        """Everything that learning continues from, as named tensors."""
        return agent_state(self._modules(), {"log_temperature": self.log_temperature}, {"optimizer": self.optimizer})

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`.

        Raises:
            FileError: naming `path`, if a tensor is missing or of another shape.
        """
        numbers = {"log_temperature": self.log_temperature}
        load_agent_state(tensors, path, self._modules(), numbers, {"optimizer": self.optimizer})

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {
            "actor": self.actor,
            "critic": self.critic,
            "average_actor": self.average_actor,
            "target_critic": self.target_critic,
        }

    def _normal(self, rows: int) -> Tensor:
        return torch.randn(rows, self.action_size, generator=self.generator, device=self.generator.device)
