"""Self-imitation: the prior is trained further on what succeeded, the demonstrations' successes and its own.

Filtered behaviour cloning in a loop: play under N(0, I) noise, keep the episodes that succeed, clone them with the
prior's own denoising loss, play again. The rounds are small: every decision of all environments is followed by gradient
steps, and a moving average of the network plays.

The filter is the return R_i = γ^k of each decision, k decisions before success, and 0 where none came:

    L = Σ_i R_i · ‖ε_θ(s_i, x_t, t) - ε‖²  /  Σ_i R_i

γ = 1 clones whole episodes that succeeded. With γ < 1, what brought success soon weighs more than detours on
the way to it, as in self-imitation learning (Oh et al. 2018, https://arxiv.org/abs/1806.05635).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.prior.diffusion import ddim_sample, denoising_loss
from expertgen.prior.network import NoiseNetwork
from expertgen.prior.prior import DiffusionPrior
from expertgen.rl.parts import agent_state, differentiate, load_agent_state
from expertgen.rl.replay import Batch
from expertgen.runs.averaging import update_average
from expertgen.runs.ranges import Count, NotNegative, Positive, Rate, Share, check_ranges


@dataclass(frozen=True)
class SelfImitationConfig:
    """Self-imitation of a prior."""

    demo_share: Share = 0.3
    """Share of every batch drawn from demonstrations that succeeded."""
    success_share: Share = 0.9
    """Share of the rest drawn from its own successful episodes, once there are enough: others weigh nothing."""
    success_minimum: Count = 30
    """Transitions of successful episodes there must be before they get that share: before, hardly anything weighs."""
    updates_per_decision: Positive = 0.25
    """Gradient steps for every decision of every environment."""
    discount: Rate = 0.987
    """γ, per control step; 1 weighs all decisions of a successful episode alike."""
    learning_rate: Positive = 3e-4
    """AdamW's learning rate."""
    weight_decay: NotNegative = 1e-6
    """AdamW's weight decay."""
    average_rate: Rate = 0.005
    """Rate of the exponential moving average of the network, which plays and is kept."""

    def __post_init__(self) -> None:
        check_ranges(self, "self_imitation")


class SelfImitationAgent:
    """The prior's network in training; actions are chunks, rewards in a batch are whole returns.

    Args:
        prior: where training begins; it stays as it is.
        config: options.
        generator: source of every random number the agent draws (its device is the agent's).
    """

    def __init__(self, prior: DiffusionPrior, config: SelfImitationConfig, generator: torch.Generator) -> None:
        self.prior = prior
        self.config = config
        self.generator = generator
        self.action_size = prior.noise_shape[0] * prior.noise_shape[1]
        self.actor = copy.deepcopy(prior.network).requires_grad_(True)
        self.average_actor = copy.deepcopy(prior.network)
        self.optimizer = torch.optim.AdamW(
            self.actor.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )

    @torch.inference_mode()
    def explore(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch action"]:
        """Chunks of the averaged network under N(0, I) noise."""
        prior, noise = self.prior, self._normal(len(observation))
        return ddim_sample(self.average_actor, prior.alpha_bar, prior.timesteps, observation, noise).flatten(1)

    def update(self, batch: Batch, rate: float = 1.0) -> dict[str, Tensor]:
        """One gradient step of the denoising loss on chunks, weighted by their returns.

        Args:
            batch: decisions; their reward is the return R, to the end of the episode.
            rate: part of the learning rate that is used, for a schedule.

        Returns:
            health metrics as detached scalars: `actor_loss`, the weighted denoising loss, and `imitated`, the mean
            weight in the batch.
        """
        self.optimizer.param_groups[0]["lr"] = rate * self.config.learning_rate
        chunk, noise = batch.action.unflatten(1, self.prior.noise_shape), self._normal(len(batch.reward))
        timestep = torch.randint(
            len(self.prior.alpha_bar), (len(noise),), generator=self.generator, device=self.generator.device
        )
        error = denoising_loss(self.actor, self.prior.alpha_bar, batch.observation, chunk, noise, timestep)
        loss = (batch.reward * error).sum() / batch.reward.sum().clamp(min=1e-8)
        differentiate(loss, self.actor)
        self.optimizer.step()
        update_average(self.average_actor, self.actor, self.config.average_rate)
        return {"actor_loss": loss.detach(), "imitated": batch.reward.mean()}

    def state(self) -> dict[str, Tensor]:
        """Everything that learning continues from, as named tensors."""
        return agent_state(self._modules(), {}, {"optimizer": self.optimizer})

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`.

        Raises:
            FileError: naming `path`, if a tensor is missing or of another shape.
        """
        load_agent_state(tensors, path, self._modules(), {}, {"optimizer": self.optimizer})

    def _modules(self) -> dict[str, NoiseNetwork]:
        return {"actor": self.actor, "average_actor": self.average_actor}

    def _normal(self, rows: int) -> Tensor:
        return torch.randn(rows, *self.prior.noise_shape, generator=self.generator, device=self.generator.device)
