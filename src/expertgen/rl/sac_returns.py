"""Soft actor-critic for dense rewards: the critic estimates a return, in the rewards' own scale.

Soft actor-critic as published (Haarnoja et al. 2018, https://arxiv.org/abs/1812.05905), equation numbers from there:
twin critics and their minimum, entropy in the backup, a learned temperature (or a fixed one). What is not from there:

- LayerNorm in actor and critics, which keeps values bounded where they are extrapolated.
- Observations are standardised. The scale is given from outside (`fit_observation_scale`) when there are more data.
- Rewards are divided by one number, found once. Adam moves a weight by about its learning rate, whatever the gradient:
  a critic would need tens of thousands of steps only to reach a value of 1000. With a learned temperature, the scale of
  rewards has no other effect.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from expertgen.prior.normalizer import Normalizer
from expertgen.rl.networks import CriticEnsemble, TanhGaussianActor
from expertgen.rl.parts import agent_state, differentiate, load_agent_state
from expertgen.rl.replay import Batch
from expertgen.runs.averaging import update_average
from expertgen.runs.ranges import Count, Positive, Rate, Share, check_ranges


@dataclass(frozen=True)
class ReturnSacConfig:
    """Soft actor-critic for dense rewards."""

    width: Count = 256
    """Hidden width of actor and critics."""
    depth: Count = 2
    """Hidden layers of actor and critics."""
    critics: Count = 2
    """Critics; target and actor take their minimum."""
    learning_rate: Positive = 3e-4
    """Adam's learning rate, for actor, critics and temperature."""
    discount: Share = 0.99
    """Discount per step."""
    target_rate: Rate = 0.005
    """Polyak rate of the target critics."""
    temperature: Positive = 0.02
    """Entropy temperature at the start, for rewards divided by their scale."""
    target_entropy: float | None = -0.5
    """Entropy per action dimension at which the temperature is learned to keep the policy; without, it stays."""

    def __post_init__(self) -> None:
        check_ranges(self, "agent")


class TanhGaussianPolicy(nn.Module):
    """The actor together with the scale of its observations: a policy that can be copied whole.

    Args:
        observation_size: D.
        action_size: A.
        width: hidden width.
        depth: hidden layers.
    """

    def __init__(self, observation_size: int, action_size: int, width: int, depth: int) -> None:
        super().__init__()
        self.action_size = action_size
        self.normalizer = Normalizer(observation_size)
        self.actor = TanhGaussianActor(observation_size, action_size, width, depth, exact=True)

    def distribution(
        self, observation: Float[Tensor, "batch observation"]
    ) -> tuple[Float[Tensor, "batch action"], Float[Tensor, "batch action"]]:
        """Mean and log standard deviation of the actions before their tanh."""
        return self.actor(self.normalizer(observation))

    @torch.no_grad()
    def sample(
        self, observation: Float[Tensor, "batch observation"], generator: torch.Generator
    ) -> Float[Tensor, "batch action"]:
        """Draws one action in (-1, 1) for each observation."""
        normal = torch.randn(len(observation), self.action_size, generator=generator, device=generator.device)
        mean, log_deviation = self.distribution(observation)
        return (mean + log_deviation.exp() * normal.to(mean.device)).tanh()


class ReturnSacAgent:
    """Policy, critics and temperature with their optimizer; actions lie in (-1, 1).

    Args:
        observation_size: D.
        action_size: A.
        config: options.
        generator: source of every random number the agent draws (its device is the agent's).

    Attributes:
        policy: the stochastic policy.
        discount: γ; whoever makes the batches may change it while learning.
        reward_scale: what rewards are divided by.
    """

    def __init__(
        self, observation_size: int, action_size: int, config: ReturnSacConfig, generator: torch.Generator
    ) -> None:
        self.config = config
        self.generator = generator
        self.action_size = action_size
        device = generator.device
        sizes = (observation_size, action_size, config.width, config.depth)
        self.policy = TanhGaussianPolicy(*sizes).to(device)
        self.critic = CriticEnsemble(config.critics, *sizes, exact=True).to(device)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_temperature = torch.tensor(config.temperature, device=device).log().requires_grad_()
        self.discount = config.discount
        self.reward_scale = torch.ones((), device=device)
        wanted = config.target_entropy
        self.target_entropy = None if wanted is None else wanted * action_size
        parts = {"critic": self.critic.parameters(), "policy": [*self.policy.parameters(), self.log_temperature]}
        self._optimizers = {
            f"{name}_optimizer": torch.optim.Adam(part, config.learning_rate, fused=True)
            for name, part in parts.items()
        }

    def fit_observation_scale(self, observation: Float[Tensor, "rows observation"]) -> None:
        """Standardises observations by these rows from now on."""
        self.policy.normalizer.load_state_dict(Normalizer.fit(observation).state_dict())

    def fit_reward_scale(self, reward: Float[Tensor, " rows"]) -> None:
        """Divides rewards by c · their root mean square from now on.

        With c = (1 - γ)^-½ the return of a constant reward is as far above 1 as the reward is below it: neither the
        value nor what one action adds to it is small beside a step of Adam.
        """
        scale = reward.square().mean().sqrt() * (1 - self.config.discount) ** -0.5
        self.reward_scale.copy_(torch.where(scale > 1e-8, scale, 1.0))

    @torch.inference_mode()
    def act(
        self, observation: Float[Tensor, "batch observation"], deterministic: bool = False
    ) -> Float[Tensor, "batch action"]:
        """The policy's action: the mode of its Gaussian through tanh, or a sample."""
        if deterministic:
            return self.policy.distribution(observation)[0].tanh()
        return self.policy.sample(observation, self.generator)

    def update(self, batch: Batch, policy: bool = True) -> dict[str, Tensor]:
        """One gradient step of the critics, then, if wanted, one of policy and temperature.

        Args:
            batch: rows of both steps.
            policy: step policy and temperature, too.

        Returns:
            health metrics as detached scalars: `critic_loss`, `q` (mean value on the batch, in the unit of rewards),
            `td_error` (mean absolute, likewise) and, where the policy steps, `actor_loss`, `entropy` (of the policy,
            per action dimension), `temperature` (for rewards divided by their scale).
        """
        observation = self.policy.normalizer(batch.observation)
        health = self._update_critics(observation, batch)
        return health | self._update_policy(observation) if policy else health

    def _update_critics(self, observation: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Equations 5 and 6: squared error against the soft value of the next state."""
        with torch.no_grad():
            next_observation = self.policy.normalizer(batch.next_observation)
            next_action, next_log_density = self.policy.actor.sample(next_observation, self._normal(len(observation)))
            next_value = self.target_critic(next_observation, next_action).amin(dim=0)
            soft_value = next_value - self.log_temperature.exp() * next_log_density
            target = batch.reward / self.reward_scale + batch.discount * soft_value
        values = self.critic(observation, batch.action)
        loss = (values - target).square().mean()
        differentiate(loss, self.critic)
        self._optimizers["critic_optimizer"].step()
        update_average(self.target_critic, self.critic, self.config.target_rate)
        values = values.detach()
        error = (values - target).abs().mean()
        return {
            "critic_loss": loss.detach(),
            "q": values.mean() * self.reward_scale,
            "td_error": error * self.reward_scale,
        }

    def _update_policy(self, observation: Tensor) -> dict[str, Tensor]:
        """Equation 9 for the policy, and 18, by the logarithm, for the temperature."""
        temperature = self.log_temperature.detach().exp()
        action, log_density = self.policy.actor.sample(observation, self._normal(len(observation)))
        loss = (temperature * log_density - self.critic(observation, action).amin(dim=0)).mean()
        differentiate(loss, self.policy)
        entropy = -log_density.detach().mean()
        if self.target_entropy is not None:
            # The temperature rises while the policy's entropy is below the target.
            self.log_temperature.grad = entropy - self.target_entropy
        self._optimizers["policy_optimizer"].step()
        return {"actor_loss": loss.detach(), "entropy": entropy / self.action_size, "temperature": temperature}

    def values(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "critics batch"]:
        """Each critic's value of the policy's mode, in the unit of rewards; differentiable by the observation."""
        normalized = self.policy.normalizer(observation)
        return self.critic(normalized, self.policy.actor(normalized)[0].tanh()) * self.reward_scale

    @torch.no_grad()
    def value(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, " batch"]:
        """The smallest critic's value of the policy's mode, in the unit of rewards."""
        return self.values(observation).amin(dim=0)

    def state(self) -> dict[str, Tensor]:
        """Everything that learning continues from, as named tensors."""
        return agent_state(self._modules(), self._numbers(), self._optimizers)

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`.

        Raises:
            FileError: naming `path`, if a tensor is missing or of another shape.
        """
        load_agent_state(tensors, path, self._modules(), self._numbers(), self._optimizers)

    def _modules(self) -> dict[str, nn.Module]:
        return {"policy": self.policy, "critic": self.critic, "target_critic": self.target_critic}

    def _numbers(self) -> dict[str, Tensor]:
        return {"log_temperature": self.log_temperature, "reward_scale": self.reward_scale}

    def _normal(self, rows: int) -> Tensor:
        return torch.randn(rows, self.action_size, generator=self.generator, device=self.generator.device)
