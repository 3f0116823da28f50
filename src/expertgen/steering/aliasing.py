"""Noise aliasing (DSRL-NA, https://arxiv.org/abs/2506.15799): what is learnt of a chunk is learnt of all noises behind it.

Many noises w give one and the same chunk G(s, w). Critics of noise must find that out anew for each of them; critics of
chunks know it. And they learn from whatever was executed, whoever chose it: of demonstrations, too. So there are two sets:

    critics of chunks  Q(s, a)   learn from the replay        y = R + γ^n (1 - terminated) min_i σ(Q̄_i(s', G(s', w')))
    critics of noise   V(s, w)   are distilled from them      V_i(s, w) ← Q_i(s, G(s, w)) for fresh w ~ N(0, I)
    the actor          π(w | s)  ascends the critics of noise

The prior is asked at every update, but never differentiated. Critics are classifiers of success and the actor ascends
their mean logit, as in `rl/sac.py`; distillation is by the squared error of logits. Departures from the released code of
DSRL: noise stays within the bound everywhere, and the fresh noise is that of the warm-up, clipped to it.
"""  # noqa: E501

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from expertgen.rl.networks import CriticEnsemble, TanhGaussianActor
from expertgen.rl.parts import agent_state, differentiate, load_agent_state, lowest
from expertgen.rl.replay import Batch
from expertgen.rl.sac import SacConfig
from expertgen.runs.averaging import update_average
from expertgen.runs.ranges import Count, check_ranges


@dataclass(frozen=True)
class AliasingConfig:
    """Noise aliasing: soft actor-critic whose critics of noise are distilled from critics of chunks."""

    sac: SacConfig = field(default_factory=SacConfig)
    """The soft actor-critic."""
    distill_steps: Count = 2
    """Gradient steps of the critics of noise for each of the critics of chunks."""

    def __post_init__(self) -> None:
        check_ranges(self, "aliasing")


class AliasingAgent:
    """Actor, critics of chunks and of noise, with their optimizer; batches hold chunks as actions.

    Args:
        observation_size: D, of what the agent sees.
        action_size: A', numbers that choose noise, in (-1, 1).
        chunk_size: H · A, numbers of a chunk.
        config: options.
        generate: what the agent sees `[B, D]` and its action `[B, A']` → the chunk `[B, H · A]`; not differentiated.
        draw: standard normal numbers `[B, A']` and what the agent sees → actions for distillation.
        generator: source of every random number the agent draws (its device is the agent's).
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        chunk_size: int,
        config: AliasingConfig,
        generate: Callable[[Tensor, Tensor], Tensor],
        draw: Callable[[Tensor, Tensor], Tensor],
        generator: torch.Generator,
    ) -> None:
        self.config = config
        self.generator = generator
        self.action_size = action_size
        self.generate = generate
        self.draw = draw
        options, device = config.sac, generator.device
        sizes = (options.width, options.depth)
        self.actor = TanhGaussianActor(observation_size, action_size, *sizes).to(device)
        self.chunk_critic = CriticEnsemble(options.critics, observation_size, chunk_size, *sizes).to(device)
        self.noise_critic = CriticEnsemble(options.critics, observation_size, action_size, *sizes).to(device)
        self.average_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.chunk_critic).requires_grad_(False)
        self.log_temperature = torch.tensor(options.temperature, device=device).log().requires_grad_()
        parts = {
            "chunk_critic": self.chunk_critic.parameters(),
            "noise_critic": self.noise_critic.parameters(),
            "actor": [*self.actor.parameters(), self.log_temperature],
        }
        self._optimizers = {
            f"{name}_optimizer": torch.optim.Adam(part, options.learning_rate, fused=True)
            for name, part in parts.items()
        }

    @torch.inference_mode()
    def explore(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch action"]:
        """A sample of the raw actor, for collecting data."""
        return self.actor.act(observation, self._normal(len(observation)))

    def update(self, batch: Batch, rate: float = 1.0) -> dict[str, Tensor]:
        """One gradient step of the critics of chunks, some of those of noise, one of actor and temperature.

        Args:
            batch: transitions whose actions are the executed chunks `[B, H · A]`.
            rate: part of the learning rate that is used, for a schedule.

        Returns:
            health metrics as detached scalars: those of `SacAgent.update`, and `distill_error`, the mean distance of
            the critics of noise to what they are distilled from [logits].
        """
        for optimizer in self._optimizers.values():
            optimizer.param_groups[0]["lr"] = rate * self.config.sac.learning_rate
        health = self._update_chunk_critic(batch)
        for _ in range(self.config.distill_steps):
            health |= self._distill(batch.observation)
        return health | self._update_actor(batch.observation)

    def _update_chunk_critic(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            next_action, _ = self.actor.sample(batch.next_observation, self._normal(len(batch.reward)))
            next_chunk = self.generate(batch.next_observation, next_action)
            next_logits = self.target_critic(batch.next_observation, next_chunk)
            next_value = lowest(next_logits, self.config.sac.target_critics, self.generator).sigmoid()
            target = batch.reward + batch.discount * next_value
        logits = self.chunk_critic(batch.observation, batch.action)
        loss = binary_cross_entropy_with_logits(logits, target.expand_as(logits))
        differentiate(loss, self.chunk_critic)
        self._optimizers["chunk_critic_optimizer"].step()
        update_average(self.target_critic, self.chunk_critic, self.config.sac.target_rate)
        value = logits.detach().sigmoid()
        return {"critic_loss": loss.detach(), "q": value.mean(), "td_error": (value - target).abs().mean()}

    def _distill(self, observation: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            action = self.draw(self._normal(len(observation)), observation)
            wanted = self.chunk_critic(observation, self.generate(observation, action))
        difference = self.noise_critic(observation, action) - wanted
        differentiate(difference.square().mean(), self.noise_critic)
        self._optimizers["noise_critic_optimizer"].step()
        return {"distill_error": difference.detach().abs().mean()}

    def _update_actor(self, observation: Tensor) -> dict[str, Tensor]:
        temperature = self.log_temperature.detach().exp()
        action, log_density = self.actor.sample(observation, self._normal(len(observation)))
        loss = (temperature * log_density - self.noise_critic(observation, action).mean(dim=0)).mean()
        differentiate(loss, self.actor)
        entropy = -log_density.detach().mean()
        self.log_temperature.grad = entropy - self.config.sac.target_entropy * self.action_size
        self._optimizers["actor_optimizer"].step()
        update_average(self.average_actor, self.actor, self.config.sac.average_rate)
        return {"actor_loss": loss.detach(), "entropy": entropy / self.action_size, "temperature": temperature}

    def state(self) -> dict[str, Tensor]:
        """Everything that learning continues from, as named tensors."""
        return agent_state(self._modules(), {"log_temperature": self.log_temperature}, self._optimizers)

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`.

        Raises:
            FileError: naming `path`, if a tensor is missing or of another shape.
        """
        numbers = {"log_temperature": self.log_temperature}
        load_agent_state(tensors, path, self._modules(), numbers, self._optimizers)

    def _modules(self) -> dict[str, torch.nn.Module]:
        names = ("actor", "chunk_critic", "noise_critic", "average_actor", "target_critic")
        return {name: getattr(self, name) for name in names}

    def _normal(self, rows: int) -> Tensor:
        return torch.randn(rows, self.action_size, generator=self.generator, device=self.generator.device)
