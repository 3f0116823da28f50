"""How much more often the newest policy makes a transition than the buffer holds it: a discriminator's logit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting.network import ScalarNetwork, in_chunks
from expertgen.errors import UsageError
from expertgen.prior.normalizer import Normalizer
from expertgen.runs.checkpoint import load_module, load_optimizer, optimizer_tensors, with_prefix, without_prefix
from expertgen.runs.ranges import Count, NotNegative, Positive, check_ranges
from expertgen.runs.seeding import seeded_weights

PENALTY_EVERY = 4
"""Steps from one penalty to the next, each weighing as much as all of them: it costs more than the rest of a step."""


@dataclass(frozen=True)
class DensityRatioConfig:
    """A discriminator between the newest transitions and the whole buffer."""

    newest: Count = 1000
    """Newest transitions that stand for the current policy."""
    steps: Count = 400
    """Gradient steps at each refit; the network is kept from one refit to the next."""
    batch_size: Count = 256
    """Transitions of each kind in a step."""
    width: Count = 128
    """Hidden width."""
    depth: Count = 2
    """Hidden layers."""
    learning_rate: Positive = 3e-4
    """Adam's learning rate."""
    gradient_penalty: NotNegative = 10.0
    """Weight of the penalty on logits steeper than 1 per deviation of the inputs; 0 for none."""
    label_floor: float = 0.0
    """Soft label of the buffer's transitions; above 0, ratios have the floor label / (1 - label)."""
    clip: Positive = 5.0
    """Largest absolute log-ratio."""

    def __post_init__(self) -> None:
        check_ranges(self, "ratio")
        if not 0 <= self.label_floor < 0.5:
            raise UsageError(f"ratio.label_floor must lie in [0, 0.5), not {self.label_floor}")


class DensityRatio:
    """R(s, a, s') = log d^π / d_D from samples: the newest transitions for d^π, the whole buffer for d_D.

    Args:
        observation_size: D.
        action_size: A.
        config: options.
        generator: source of every random number (its device is the network's).
    """

    def __init__(
        self, observation_size: int, action_size: int, config: DensityRatioConfig, generator: torch.Generator
    ) -> None:
        self.config = config
        self.generator = generator
        size = 2 * observation_size + action_size
        with seeded_weights(generator.initial_seed(), "density-ratio"):
            self.network = ScalarNetwork(size, config.width, config.depth).to(generator.device)
        self.normalizer = Normalizer(size).to(generator.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate, fused=True)

    def fit(self, transitions: Transitions) -> None:
        """Trains on: newest transitions against all of them, those included, in batches of equal size."""
        inputs = _inputs(transitions)
        self.normalizer.load_state_dict(Normalizer.fit(inputs).state_dict())
        inputs = self.normalizer(inputs)
        rows = len(inputs)
        newest = min(self.config.newest, rows)
        for step in range(self.config.steps):
            positive = inputs[rows - newest + self._draw(newest)]
            negative = inputs[self._draw(rows)]
            logit, other = self.network(torch.cat([positive, negative])).chunk(2)
            # Cross-entropy with labels 1 and `label_floor`.
            loss = softplus(-logit).mean() + softplus(other).mean() - self.config.label_floor * other.mean()
            if self.config.gradient_penalty and step % PENALTY_EVERY == 0:
                loss = loss + PENALTY_EVERY * self.config.gradient_penalty * self._penalty(positive, negative)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def log_ratio(self, transitions: Transitions) -> Float[Tensor, " n"]:
        """R of each transition, clipped."""
        inputs = _inputs(transitions)
        logit = in_chunks(lambda rows: self.network(self.normalizer(inputs[rows])), len(inputs))
        return logit.clamp(-self.config.clip, self.config.clip)

    def _draw(self, rows: int) -> Tensor:
        device = self.generator.device
        return torch.randint(rows, (self.config.batch_size,), generator=self.generator, device=device)

    def _penalty(self, positive: Tensor, negative: Tensor) -> Tensor:
        # One-sided: a ratio may be steep somewhere and is flat elsewhere. Asking for slope 1 everywhere, as a critic of
        # Wasserstein distances is asked, makes up differences where there are none.
        share = torch.rand(len(positive), 1, generator=self.generator, device=positive.device)
        between = torch.lerp(negative, positive, share).requires_grad_()
        (slope,) = torch.autograd.grad(self.network(between).sum(), between, create_graph=True)
        return (slope.norm(dim=1) - 1).relu().square().mean()

    def state(self) -> dict[str, Tensor]:
        """Everything that the next fit continues from, as named tensors."""
        return (
            with_prefix("network", self.network.state_dict())
            | with_prefix("normalizer", self.normalizer.state_dict())
            | with_prefix("optimizer", optimizer_tensors(self.optimizer))
        )

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`; `path` is named if a tensor is missing or of another shape (FileError)."""
        load_module(self.network, without_prefix("network", tensors), path)
        load_module(self.normalizer, without_prefix("normalizer", tensors), path)
        load_optimizer(self.optimizer, without_prefix("optimizer", tensors))


class NewestRatio:
    """R = 1 for the newest transitions and 0 for all others: what is left of the ratio without a discriminator.

    Args:
        newest: transitions that stand for the current policy.
    """

    def __init__(self, newest: int = 1000) -> None:
        if newest < 1:
            raise UsageError(f"ratio.newest must be at least 1, not {newest}")
        self.newest = newest

    def fit(self, transitions: Transitions) -> None:
        """Nothing to learn."""

    def log_ratio(self, transitions: Transitions) -> Float[Tensor, " n"]:
        """1 for the newest, 0 for the others."""
        log_ratio = torch.zeros_like(transitions.reward)
        log_ratio[-self.newest :] = 1
        return log_ratio

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Nothing to restore."""


def _inputs(transitions: Transitions) -> Float[Tensor, "n size"]:
    return torch.cat([transitions.observation, transitions.action, transitions.next_observation], dim=1)
