"""Diffusion policy policy optimization: the prior's own network, fine-tuned by PPO through its denoising steps.

DPPO (https://arxiv.org/abs/2409.00588) unrolls each decision t of the environment into the K steps that denoise its
chunk, k = K ... 1, and takes every one of them for an action of a two-layer decision process:

    x^K ~ N(0, I),   x^{k-1} ~ N(μ_θ(s_t, x^k, k), σ_k),   the chunk x^0 acts in the environment, which alone rewards

Each step has a Gaussian likelihood. Its probability ratio is clipped as in PPO, with the decision's advantage Â_t:

    L = -E_{t,k} min(ρ_k γ_d^{k-1} Â_t, clip(ρ_k, 1 ± ε_k) γ_d^{k-1} Â_t),
    ρ_k = p_θ(x^{k-1} | s_t, x^k) / p_old(x^{k-1} | s_t, x^k)

γ_d < 1 makes the first, noisiest steps count less, and ε_k is smaller for them. Advantages are generalised ones over
decisions; the value function sees the state alone and is a classifier of success, as in `rl/ppo.py`. Steps are sampled
by DDIM with η = 1, whose deviation σ_k is raised to a least one, for exploration when sampling, and in the likelihood so
that it does not explode where σ_k → 0. What is validated and kept is the network in the prior's own sampler (η = 0).
As in `rl/ppo.py`, the prior learns only where something succeeded, and not far from the policy that acted.
"""  # noqa: E501

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from expertgen.prior.diffusion import NoisePredictor
from expertgen.prior.prior import DiffusionPrior
from expertgen.rl.health import Means
from expertgen.rl.networks import ValueFunction
from expertgen.rl.parts import agent_state, differentiate, load_agent_state
from expertgen.rl.ppo import divergence, learning_targets
from expertgen.rl.replay import Rollout
from expertgen.runs.averaging import update_average
from expertgen.runs.ranges import Count, Natural, Part, Positive, Rate, check_ranges


@dataclass(frozen=True)
class DppoConfig:
    """Diffusion policy policy optimization with returns in [0, 1]."""

    width: Count = 128
    """Hidden width of the value function."""
    depth: Count = 3
    """Hidden layers of the value function."""
    learning_rate: Positive = 1e-4
    """Adam's learning rate for the prior's network."""
    critic_learning_rate: Positive = 1e-3
    """Adam's learning rate for the value function."""
    discount: Rate = 0.996
    """Discount per control step."""
    denoising_discount: Rate = 0.9
    """Discount of the advantage for each denoising step that is still to come."""
    trace: Part = 0.95
    """λ of generalised advantage estimation."""
    rounds: Count = 16
    """Decisions of every environment between two updates."""
    epochs: Count = 5
    """Passes over those decisions in an update."""
    critic_updates: Natural = 2
    """First updates in which the value function learns alone: advantages from an untrained one mislead."""
    batch_size: Count = 1024
    """Denoising steps a gradient step."""
    clip: Positive = 0.2
    """ε of the last denoising step: how far a probability ratio may move from 1 before its gradient is cut."""
    first_clip: Positive = 0.1
    """ε of the first denoising step; in between it rises geometrically."""
    largest_divergence: Positive = 0.1
    """Divergence from the policy that acted, over a batch, from which on a step of the prior is left out [nats]."""
    exploration_deviation: Positive = 0.1
    """Least deviation of a denoising step when it is sampled, in parts of the largest action."""
    likelihood_deviation: Positive = 0.1
    """Least deviation of a denoising step in its likelihood."""
    gradient_norm: Positive = 1.0
    """Largest norm of a gradient of the prior's network."""
    average_rate: Rate = 0.02
    """Rate of the exponential moving average of the network, a gradient step."""

    def __post_init__(self) -> None:
        check_ranges(self, "dppo")

    @property
    def first_update(self) -> int:
        """Decisions of every environment before the prior first learns."""
        return (self.critic_updates + 1) * self.rounds


def denoising_step(
    predict: NoisePredictor,
    alpha_bar: Float[Tensor, " levels"],
    timesteps: Int[Tensor, " steps"],
    step: Int[Tensor, " batch"],
    observation: Float[Tensor, "batch observation"],
    x: Float[Tensor, "batch horizon action"],
) -> tuple[Float[Tensor, "batch horizon action"], Float[Tensor, "batch 1 1"]]:
    """Mean and deviation of the next x: DDIM with η = 1 (https://arxiv.org/abs/2010.02502, eq. 12 and 16).

    Args:
        predict: the noise predictor ε_θ.
        alpha_bar: schedule.
        timesteps: those of the sampler, descending.
        step: which of them each row is at, 0 (pure noise) to K - 1.
        observation: normalised.
        x: what is denoised.
    """
    shares = alpha_bar[timesteps]
    signal = shares[step][:, None, None]
    next_signal = torch.cat([shares[1:], shares.new_ones(1)])[step][:, None, None]
    predicted_noise = predict(observation, x, timesteps[step])
    clean = ((x - (1 - signal).sqrt() * predicted_noise) / signal.sqrt()).clamp(-1, 1)
    direction = (x - signal.sqrt() * clean) / (1 - signal).sqrt()
    variance = (1 - next_signal) / (1 - signal) * (1 - signal / next_signal)
    mean = next_signal.sqrt() * clean + (1 - next_signal - variance).clamp(min=0).sqrt() * direction
    return mean, variance.sqrt()


def log_likelihood(
    x: Float[Tensor, "batch horizon action"],
    mean: Float[Tensor, "batch horizon action"],
    deviation: Float[Tensor, "batch 1 1"],
) -> Float[Tensor, " batch"]:
    """Log density of x under N(mean, deviation), over the whole chunk."""
    standard = (x - mean) / deviation
    return -(0.5 * standard.square() + deviation.log() + 0.5 * math.log(2 * math.pi)).sum(dim=(1, 2))


class DppoAgent:
    """The prior's network and a value function in training; an action is the denoising path (x^K, ..., x^0), flat.

    Args:
        prior: where training begins; it stays as it is.
        config: options.
        generator: source of every random number the agent draws (its device is the agent's).
    """

    def __init__(self, prior: DiffusionPrior, config: DppoConfig, generator: torch.Generator) -> None:
        self.config = config
        self.generator = generator
        device = generator.device
        self.alpha_bar = prior.alpha_bar
        self.timesteps = torch.tensor(prior.timesteps, device=device)
        self.steps = len(prior.timesteps)
        self.path_shape = (self.steps + 1, *prior.noise_shape)
        self.action_size = math.prod(self.path_shape)
        self.actor = copy.deepcopy(prior.network).requires_grad_(True)
        self.average_actor = copy.deepcopy(prior.network)
        self.critic = ValueFunction(prior.observation_size, config.width, config.depth).to(device)
        self.optimizers = {
            "actor_optimizer": torch.optim.Adam(self.actor.parameters(), config.learning_rate, fused=True),
            "critic_optimizer": torch.optim.Adam(self.critic.parameters(), config.critic_learning_rate, fused=True),
        }
        self.updates = torch.zeros((), dtype=torch.long)
        # Per denoising step, from the noisiest to the last one: the factor of its advantage, and its ε.
        to_come = torch.arange(self.steps - 1, -1, -1, device=device)
        self.factor = config.denoising_discount**to_come
        self.clip = config.clip * (config.first_clip / config.clip) ** (to_come / max(1, self.steps - 1))

    @torch.inference_mode()
    def explore(self, observation: Float[Tensor, "envs observation"]) -> Float[Tensor, "envs action"]:
        """Denoising paths of the raw network, with the deviation of exploration."""
        path = [self._normal(len(observation))]
        for k in range(self.steps):
            step = torch.full((len(observation),), k, device=observation.device)
            mean, deviation = self._denoise(step, observation, path[-1])
            deviation = deviation.clamp(min=self.config.exploration_deviation)
            path.append(mean + deviation * self._normal(len(observation)))
        return torch.stack(path, dim=1).flatten(1)

    def update(self, rollout: Rollout, rate: float = 1.0) -> dict[str, Tensor]:
        """Some epochs of gradient steps on what the present policy has just done.

        Args:
            rollout: decisions of the present policy.
            rate: part of the learning rate of the prior's network that is used, for a schedule.

        Returns:
            health metrics as detached scalars, means over the steps: `critic_loss`, `q` (mean value before the update),
            `td_error` (mean distance to the λ-return) and, where the prior learns, `actor_loss`, `divergence` (from the
            policy that acted) and `ratio_clipped` (share of ratios outside 1 ± ε).
        """
        config = self.config
        self.optimizers["actor_optimizer"].param_groups[0]["lr"] = rate * config.learning_rate
        observation, path = (
            rollout.observation.flatten(0, 1),
            rollout.action.flatten(0, 1).unflatten(1, self.path_shape),
        )
        with torch.no_grad():
            advantage, target, health = learning_targets(rollout, self.critic, config.trace)
            steps = torch.arange(self.steps, device=path.device)[:, None].expand(-1, len(path))
            old = torch.stack([self.log_likelihood(step, observation, path) for step in steps], dim=1)
        taken, learns = Means(), bool(self.updates >= config.critic_updates and rollout.reward.any())
        for rows, step in self._minibatches(len(path)):
            one = self._fit_critic(observation[rows], target[rows])
            if learns:
                one |= self._ascend(step, observation[rows], path[rows], old[rows, step], advantage[rows])
            taken.add(one)
        self.updates += 1
        return health | taken.take()

    def log_likelihood(
        self,
        step: Int[Tensor, " batch"],
        observation: Float[Tensor, "batch observation"],
        path: Float[Tensor, "batch _ horizon action"],
    ) -> Float[Tensor, " batch"]:
        """Log likelihood of one denoising step of each path, with the least deviation of likelihoods."""
        rows = torch.arange(len(path), device=path.device)
        mean, deviation = self._denoise(step, observation, path[rows, step])
        return log_likelihood(path[rows, step + 1], mean, deviation.clamp(min=self.config.likelihood_deviation))

    def _minibatches(self, decisions: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Decisions, and a denoising step of each."""
        for _ in range(self.config.epochs):
            order = torch.randperm(decisions * self.steps, generator=self.generator, device=self.generator.device)
            for index in order.split(self.config.batch_size):
                yield index // self.steps, index % self.steps

    def _fit_critic(self, observation: Tensor, target: Tensor) -> dict[str, Tensor]:
        loss = binary_cross_entropy_with_logits(self.critic(observation), target)
        differentiate(loss, self.critic)
        self.optimizers["critic_optimizer"].step()
        return {"critic_loss": loss.detach()}

    def _ascend(
        self, step: Tensor, observation: Tensor, path: Tensor, old: Tensor, advantage: Tensor
    ) -> dict[str, Tensor]:
        """Ascends the clipped objective of the denoising steps, unless the policy has gone far already."""
        log_ratio = self.log_likelihood(step, observation, path) - old
        ratio, far = log_ratio.exp(), divergence(log_ratio.detach())
        advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8) * self.factor[step]
        clipped = ratio.clamp(1 - self.clip[step], 1 + self.clip[step])
        actor_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
        if far <= self.config.largest_divergence:
            differentiate(actor_loss, self.actor)
            torch.nn.utils.clip_grad_norm_(self.actor.parameters(), self.config.gradient_norm)
            self.optimizers["actor_optimizer"].step()
            update_average(self.average_actor, self.actor, self.config.average_rate)
        ratio_clipped = (ratio.detach() - clipped.detach()).ne(0).float().mean()
        return {"actor_loss": actor_loss.detach(), "divergence": far, "ratio_clipped": ratio_clipped}

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

    def _denoise(self, step: Tensor, observation: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return denoising_step(self.actor, self.alpha_bar, self.timesteps, step, observation, x)

    def _normal(self, rows: int) -> Tensor:
        return torch.randn(rows, *self.path_shape[1:], generator=self.generator, device=self.generator.device)
