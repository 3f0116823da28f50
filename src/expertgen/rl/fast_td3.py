"""FastTD3 for sparse success: a deterministic actor, critics that predict distributions, every environment as bold as its row.

FastTD3 (Seo et al. 2025, https://arxiv.org/abs/2505.22642) is TD3 (Fujimoto et al. 2018,
https://arxiv.org/abs/1802.09477) for many environments:

- Critics are categorical (Bellemare et al. 2017, https://arxiv.org/abs/1707.06887): they give the probabilities of
  returns z_1 ... z_K. With reward 1 at success and 0 before, a return lies in [0, 1], and so do the atoms.
- Of the two target critics, the one of the lower mean gives the target, as a whole distribution.
- Exploration adds Gaussian noise of another deviation in each environment, from timid to bold.

Departures: LayerNorm in all networks, Adam without weight decay, small target and averaging rates instead of large ones,
n-step returns, an environment keeps its deviation for the whole run instead of drawing one for each episode, and the
deployed policy is a moving average of the actor, as in `rl/sac.py`.
"""  # noqa: E501

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.errors import UsageError
from expertgen.rl.networks import CriticEnsemble, TanhActor
from expertgen.rl.parts import agent_state, differentiate, load_agent_state
from expertgen.rl.replay import Batch
from expertgen.runs.averaging import update_average
from expertgen.runs.ranges import Count, NotNegative, Positive, Rate, check_ranges


@dataclass(frozen=True)
class FastTd3Config:
    """FastTD3 with returns in [0, 1]."""

    width: Count = 128
    """Hidden width of actor and critics."""
    depth: Count = 3
    """Hidden layers of actor and critics."""
    critics: Count = 2
    """Critics; the one of the lowest mean gives the target."""
    atoms: int = 51
    """Returns that a critic distinguishes, evenly spaced from 0 to 1."""
    learning_rate: Positive = 1e-3
    """Adam's learning rate, for actor and critics."""
    discount: Rate = 0.996
    """Discount per control step; a decision's is that, to the power of the length of its chunk."""
    n_step: Count = 3
    """Decisions that a return looks ahead before it bootstraps."""
    target_rate: Rate = 0.005
    """Polyak rate of the target critics."""
    average_rate: Rate = 0.002
    """Rate of the exponential moving average of the actor."""
    policy_delay: Count = 2
    """Updates of the critics for one of the actor."""
    least_deviation: float = 0.05
    """Exploration noise of the most timid environment, in parts of the largest action."""
    most_deviation: float = 0.4
    """Exploration noise of the boldest environment."""
    target_deviation: NotNegative = 0.1
    """Noise added to the target's action, which smooths the critics."""
    target_clip: NotNegative = 0.3
    """Largest such noise."""

    def __post_init__(self) -> None:
        check_ranges(self, "fast_td3")
        if self.atoms < 2:
            raise UsageError(f"fast_td3.atoms must be at least 2, not {self.atoms}")
        if not 0 <= self.least_deviation <= self.most_deviation:
            raise UsageError(
                f"fast_td3.least_deviation ({self.least_deviation}) must lie between 0 and "
                f"fast_td3.most_deviation ({self.most_deviation})"
            )


def project(
    probabilities: Float[Tensor, "batch atoms"],
    reward: Float[Tensor, " batch"],
    discount: Float[Tensor, " batch"],
    atoms: Float[Tensor, " atoms"],
) -> Float[Tensor, "batch atoms"]:
    """The distribution of r + γ Z on the atoms that Z has: each atom's mass goes to its two neighbours there.

    Bellemare et al. 2017, algorithm 1. The mean is kept where r + γ Z lies within the atoms.

    Args:
        probabilities: of Z.
        reward: r.
        discount: γ, 0 where nothing follows.
        atoms: evenly spaced, ascending.
    """
    spacing = atoms[1] - atoms[0]
    moved = (reward[:, None] + discount[:, None] * atoms).clamp(float(atoms[0]), float(atoms[-1]))
    position = (moved - atoms[0]) / spacing
    lower = position.long().clamp(max=len(atoms) - 2)
    to_upper = probabilities * (position - lower)
    result = torch.zeros_like(probabilities)
    result.scatter_add_(1, lower, probabilities - to_upper)
    return result.scatter_add_(1, lower + 1, to_upper)


class FastTd3Agent:
    """Actor and categorical critics with their optimizers; actions lie in [-1, 1].

    Args:
        observation_size: D.
        action_size: A.
        config: options.
        generator: source of every random number the agent draws (its device is the agent's).
    """

    def __init__(
        self, observation_size: int, action_size: int, config: FastTd3Config, generator: torch.Generator
    ) -> None:
        self.config = config
        self.generator = generator
        self.action_size = action_size
        device, sizes = generator.device, (config.width, config.depth)
        self.actor = TanhActor(observation_size, action_size, *sizes).to(device)
        self.critic = CriticEnsemble(config.critics, observation_size, action_size, *sizes, config.atoms).to(device)
        self.average_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.atoms = torch.linspace(0, 1, config.atoms, device=device)
        self.updates = torch.zeros((), dtype=torch.long)
        self.optimizers = {
            name: torch.optim.Adam(module.parameters(), config.learning_rate, fused=True)
            for name, module in (("critic_optimizer", self.critic), ("actor_optimizer", self.actor))
        }

    @torch.inference_mode()
    def explore(self, observation: Float[Tensor, "envs observation"]) -> Float[Tensor, "envs action"]:
        """The raw actor's action with noise, of the least deviation in the first row and of the most in the last."""
        config = self.config
        deviations = torch.linspace(config.least_deviation, config.most_deviation, len(observation))
        noise = deviations.to(observation.device)[:, None] * self._normal(len(observation))
        return (self.actor(observation) + noise).clamp(-1, 1)

    def update(self, batch: Batch, rate: float = 1.0) -> dict[str, Tensor]:
        """One gradient step of the critics, and of the actor where it is its turn.

        Args:
            batch: transitions.
            rate: part of the learning rate that is used, for a schedule.

        Returns:
            health metrics as detached scalars: `critic_loss`, `q` (mean return expected on the batch), `td_error` (mean
            distance to the target's mean) and, where the actor steps, `actor_loss`.
        """
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = rate * self.config.learning_rate
        health = self._update_critics(batch)
        if self.updates % self.config.policy_delay == 0:
            health |= self._update_actor(batch)
        update_average(self.average_actor, self.actor, self.config.average_rate)
        self.updates += 1
        return health

    def _update_critics(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy against the projected distribution of the lowest target critic."""
        config = self.config
        with torch.no_grad():
            noise = (config.target_deviation * self._normal(len(batch.reward))).clamp(
                -config.target_clip, config.target_clip
            )
            next_action = (self.actor(batch.next_observation) + noise).clamp(-1, 1)
            candidates = self.target_critic.logits(batch.next_observation, next_action).softmax(dim=-1)
            lowest = (candidates @ self.atoms).argmin(dim=0)
            following = candidates[lowest, torch.arange(len(lowest), device=lowest.device)]
            target = project(following, batch.reward, batch.discount, self.atoms)
        logits = self.critic.logits(batch.observation, batch.action)
        loss = -(target * logits.log_softmax(dim=-1)).sum(dim=-1).mean()
        differentiate(loss, self.critic)
        self.optimizers["critic_optimizer"].step()
        update_average(self.target_critic, self.critic, config.target_rate)
        values = logits.detach().softmax(dim=-1) @ self.atoms
        error = (values - target @ self.atoms).abs().mean()
        return {"critic_loss": loss.detach(), "q": values.mean(), "td_error": error}

    def _update_actor(self, batch: Batch) -> dict[str, Tensor]:
        """Ascends the lowest critic's mean."""
        values = self.critic.logits(batch.observation, self.actor(batch.observation)).softmax(dim=-1) @ self.atoms
        loss = -values.amin(dim=0).mean()
        differentiate(loss, self.actor)
        self.optimizers["actor_optimizer"].step()
        return {"actor_loss": loss.detach()}

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
        names = ("actor", "critic", "average_actor", "target_critic")
        return {name: getattr(self, name) for name in names}

    def _normal(self, rows: int) -> Tensor:
        return torch.randn(rows, self.action_size, generator=self.generator, device=self.generator.device)
