"""Proximal policy optimization for sparse success: on-policy, with a classifier of success as its value function.

PPO (Schulman et al. 2017, https://arxiv.org/abs/1707.06347) with generalised advantages (Schulman et al. 2016,
https://arxiv.org/abs/1506.02438). With reward 1 at success and 0 before, a return lies in [0, 1]; the value function is
a sigmoid trained with binary cross-entropy on the λ-return.

The policy is a Gaussian with one deviation for all states. Its samples are kept as they were drawn, and clipped to
[-1, 1] only where they are acted on, so densities are the Gaussian's.

Where success is rare, advantages are mostly errors of the value function, and standardised they would carry the policy
away. So the value function learns alone at first, and whenever nothing succeeded; and no step is taken where the policy
is already farther than a limit from the one that acted, by an estimate of the Kullback-Leibler divergence.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from expertgen.rl.health import Means
from expertgen.rl.networks import GaussianActor, ValueFunction
from expertgen.rl.parts import agent_state, differentiate, load_agent_state
from expertgen.rl.replay import Rollout
from expertgen.runs.averaging import update_average
from expertgen.runs.ranges import Count, Natural, NotNegative, Part, Positive, Rate, check_ranges


@dataclass(frozen=True)
class PpoConfig:
    """Proximal policy optimization with returns in [0, 1]."""

    width: Count = 128
    """Hidden width of actor and value function."""
    depth: Count = 3
    """Hidden layers of actor and value function."""
    learning_rate: Positive = 1e-3
    """Adam's learning rate for the actor."""
    critic_learning_rate: Positive = 1e-3
    """Adam's learning rate for the value function."""
    discount: Rate = 0.996
    """Discount per control step; a decision's is that, to the power of the length of its chunk."""
    trace: Part = 0.95
    """λ of generalised advantage estimation."""
    rounds: Count = 16
    """Decisions of every environment between two updates."""
    epochs: Count = 10
    """Passes over those decisions in an update."""
    critic_updates: Natural = 2
    """First updates in which the value function learns alone: advantages from an untrained one mislead."""
    batch_size: Count = 256
    """Decisions a gradient step."""
    clip: Positive = 0.2
    """ε: how far a probability ratio may move from 1 before its gradient is cut."""
    largest_divergence: Positive = 0.1
    """Divergence from the policy that acted, over a batch, from which on a step of the actor is left out [nats]."""
    entropy: NotNegative = 0.0
    """Weight of the policy's entropy in its objective."""
    gradient_norm: Positive = 0.5
    """Largest norm of a gradient of the actor."""
    deviation: Positive = 0.67
    """Deviation of the policy before training, in parts of the largest action; 1 / 1.5 is the prior's own noise."""
    average_rate: Rate = 0.02
    """Rate of the exponential moving average of the actor, a gradient step."""

    def __post_init__(self) -> None:
        check_ranges(self, "ppo")

    @property
    def first_update(self) -> int:
        """Decisions of every environment before the actor first learns."""
        return (self.critic_updates + 1) * self.rounds


def divergence(log_ratio: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Estimate of KL(old, new) [nats] from log ratios of actions drawn from the old policy: the mean of ρ - 1 - log ρ.

    It is unbiased and never negative (http://joschu.net/blog/kl-approx.html).
    """
    return (log_ratio.exp() - 1 - log_ratio).mean()


def advantages(
    reward: Float[Tensor, "rounds envs"],
    value: Float[Tensor, "rounds envs"],
    next_value: Float[Tensor, "rounds envs"],
    terminated: Bool[Tensor, "rounds envs"],
    truncated: Bool[Tensor, "rounds envs"],
    discount: float,
    trace: float,
) -> Float[Tensor, "rounds envs"]:
    """Generalised advantages A_t = Σ_k (γλ)^k δ_{t+k}, cut where an episode ends (Schulman et al. 2016, eq. 16).

    δ_t = r_t + γ V(s_{t+1}) - V(s_t), without V(s_{t+1}) where the episode terminated, and with it where it was cut.
    """
    errors = reward + discount * torch.where(terminated, 0.0, next_value) - value
    goes_on = (~(terminated | truncated)).float()
    result = torch.empty_like(errors)
    following = torch.zeros_like(errors[0])
    for t in reversed(range(len(errors))):
        following = errors[t] + discount * trace * goes_on[t] * following
        result[t] = following
    return result


def learning_targets(
    rollout: Rollout, critic: ValueFunction, trace: float
) -> tuple[Float[Tensor, " decisions"], Float[Tensor, " decisions"], dict[str, Tensor]]:
    """Advantages and λ-returns of all decisions of a rollout, in a row, and how the value function judges them.

    Args:
        rollout: of the present policy.
        critic: a classifier of success.
        trace: λ.

    Returns:
        advantages; λ-returns, which lie in [0, 1]; health metrics: `q`, the mean value, and `td_error`, its mean
        distance to the λ-return.
    """
    value, next_value = critic(rollout.observation).sigmoid(), critic(rollout.next_observation).sigmoid()
    ends = (rollout.terminated, rollout.truncated)
    advantage = advantages(rollout.reward, value, next_value, *ends, rollout.discount, trace)
    target = (advantage + value).clamp(0, 1)
    health = {"q": value.mean(), "td_error": (value - target).abs().mean()}
    return advantage.flatten(), target.flatten(), health


class PpoAgent:
    """Actor and value function with their optimizer; actions are to be clipped to [-1, 1].

    Args:
        observation_size: D.
        action_size: A.
        config: options.
        generator: source of every random number the agent draws (its device is the agent's).
    """

    def __init__(self, observation_size: int, action_size: int, config: PpoConfig, generator: torch.Generator) -> None:
        self.config = config
        self.generator = generator
        self.action_size = action_size
        device, sizes = generator.device, (config.width, config.depth)
        self.actor = GaussianActor(observation_size, action_size, *sizes, config.deviation).to(device)
        self.critic = ValueFunction(observation_size, *sizes).to(device)
        self.average_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.optimizers = {
            "actor_optimizer": torch.optim.Adam(self.actor.parameters(), config.learning_rate, fused=True),
            "critic_optimizer": torch.optim.Adam(self.critic.parameters(), config.critic_learning_rate, fused=True),
        }
        self.updates = torch.zeros((), dtype=torch.long)

    @torch.inference_mode()
    def explore(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch action"]:
        """A sample of the raw actor before it is clipped."""
        shape = (len(observation), self.action_size)
        normal = torch.randn(shape, generator=self.generator, device=self.generator.device)
        return self.actor(observation) + self.actor.log_deviation.exp() * normal

    def update(self, rollout: Rollout, rate: float = 1.0) -> dict[str, Tensor]:
        """Some epochs of gradient steps on what the present policy has just done.

        Args:
            rollout: decisions of the present policy.
            rate: part of the actor's learning rate that is used, for a schedule.

        Returns:
            health metrics as detached scalars, means over the steps: `critic_loss`, `q` (mean value before the update),
            `td_error` (mean distance to the λ-return) and, where the actor learns, `actor_loss`, `divergence` (from the
            policy that acted), `entropy` (of the policy, per action dimension) and `ratio_clipped` (share of ratios
            outside 1 ± ε).
        """
        config = self.config
        self.optimizers["actor_optimizer"].param_groups[0]["lr"] = rate * config.learning_rate
        with torch.no_grad():
            advantage, target, health = learning_targets(rollout, self.critic, config.trace)
            observation, action = rollout.observation.flatten(0, 1), rollout.action.flatten(0, 1)
            columns = (observation, action, self.actor.log_density(observation, action), advantage)
        steps, learns = Means(), bool(self.updates >= config.critic_updates and rollout.reward.any())
        for rows in self._minibatches(len(target)):
            step = self._fit_critic(observation[rows], target[rows])
            steps.add(step | self._ascend(*(column[rows] for column in columns)) if learns else step)
        self.updates += 1
        return health | steps.take()

    def _minibatches(self, rows: int) -> Iterator[Tensor]:
        for _ in range(self.config.epochs):
            order = torch.randperm(rows, generator=self.generator, device=self.generator.device)
            yield from order.split(self.config.batch_size)

    def _fit_critic(self, observation: Tensor, target: Tensor) -> dict[str, Tensor]:
        loss = binary_cross_entropy_with_logits(self.critic(observation), target)
        differentiate(loss, self.critic)
        self.optimizers["critic_optimizer"].step()
        return {"critic_loss": loss.detach()}

    def _ascend(
        self, observation: Tensor, action: Tensor, old_log_density: Tensor, advantage: Tensor
    ) -> dict[str, Tensor]:
        """Ascends the clipped objective (Schulman et al. 2017, eq. 7), unless the policy has gone far already."""
        config = self.config
        log_ratio = self.actor.log_density(observation, action) - old_log_density
        ratio = log_ratio.exp()
        advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        actor_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
        entropy, far = self.actor.entropy(), divergence(log_ratio.detach())
        if far <= config.largest_divergence:
            differentiate(actor_loss - config.entropy * entropy, self.actor)
            torch.nn.utils.clip_grad_norm_(self.actor.parameters(), config.gradient_norm)
            self.optimizers["actor_optimizer"].step()
            update_average(self.average_actor, self.actor, config.average_rate)
        return {
            "actor_loss": actor_loss.detach(),
            "divergence": far,
            "entropy": entropy.detach() / self.action_size,
            "ratio_clipped": (ratio.detach() - clipped.detach()).ne(0).float().mean(),
        }

    def state(self) -> dict[str, Tensor]:
        """Everything that learning continues from, as named tensors."""
        return agent_state(self._modules(), {"updates": self.updates}, self.optimizers)

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`.

        Raises:
            FileError: naming `path`, if a tensor is missing or of another shape.
        """
        load_agent_state(tensors, path, self._modules(), {"updates": self.updates}, self.optimizers)

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"actor": self.actor, "critic": self.critic, "average_actor": self.average_actor}
