"""Transition occupancy matching with networks: a discriminator for R, a network for the multiplier, `tom` for the rest.

Departures from the authors' program: all layers of the discriminator learn, inputs are normalised, λ is found in
closed form, and every end of an episode is followed by the next one. There is no target network: with Q(s', π) held
fixed the objective has no minimum, as a constant c added to Q changes it by (1 - γ) c - c = -γ c.

R compares data with data: those of the present policy, cut by the same time limits as all others. The flow must be that
of such data, too. Where a time limit has no end (`truncation="continue"`) or γ looks less far ahead than episodes last,
the flow is that of states which nobody meets, and the multiplier moves even weights away that are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting import tom
from expertgen.dynamics.weighting.density_ratio import DensityRatio, NewestRatio
from expertgen.dynamics.weighting.interface import Limits, Policy, weight_health
from expertgen.dynamics.weighting.network import ScalarNetwork, in_chunks
from expertgen.prior.normalizer import Normalizer
from expertgen.runs.checkpoint import load_module, load_optimizer, optimizer_tensors, with_prefix, without_prefix
from expertgen.runs.ranges import Count, NotNegative, Positive, Share, check_ranges
from expertgen.runs.seeding import seeded_weights

START_ROWS = 4096
"""Start states over which Q(s0, π) is averaged for the final weights."""


@dataclass(frozen=True)
class OccupancyConfig:
    """Transition occupancy matching."""

    divergence: tom.Divergence = "kl"
    """Divergence that keeps the occupancy near the buffer."""
    conjugate: tom.Conjugate = "exact"
    """Conjugate of χ² while the multiplier learns; the weights are the exact ones."""
    multiplier: Literal["action", "state"] = "action"
    """Q(s, a), whose flow holds the policy's actions, or V(s), which leaves actions to the discriminator."""
    termination: tom.Termination = "regenerate"
    """What follows a termination: the next episode, or nothing."""
    truncation: Literal["regenerate", "continue"] = "regenerate"
    """What follows a time limit: the next episode, or what the policy would do without the limit."""
    discount: Share = 0.999
    """γ of the occupancy: near 1, since data are collected without any."""
    steps: Count = 300
    """Gradient steps at each refit; the network is kept from one refit to the next."""
    batch_size: Count = 256
    """Transitions and start states in a step."""
    width: Count = 128
    """Hidden width."""
    depth: Count = 2
    """Hidden layers."""
    learning_rate: Positive = 3e-4
    """Adam's learning rate."""
    slope_penalty: NotNegative = 0.0
    """Weight of the multiplier's mean squared slope, per deviation of its inputs; 0 for none."""

    def __post_init__(self) -> None:
        check_ranges(self, "tom")


class OccupancyMatching:
    """Weights of the occupancy that matches the present policy's; see `tom` for the mathematics.

    Args:
        observation_size: D.
        action_size: A.
        config: options.
        ratio: estimator of R, which this weighting refits.
        generator: source of every random number (its device is the network's).
        limits: largest weight and mixing.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: OccupancyConfig,
        ratio: DensityRatio | NewestRatio,
        generator: torch.Generator,
        limits: Limits | None = None,
    ) -> None:
        self.name = f"tom-{config.divergence}"
        self.health: dict[str, float] = {}
        self.config = config
        self.ratio = ratio
        self.generator = generator
        self.limits = limits or Limits()
        size = observation_size + (action_size if config.multiplier == "action" else 0)
        with seeded_weights(generator.initial_seed(), "multiplier"):
            self.network = ScalarNetwork(size, config.width, config.depth).to(generator.device)
        self.normalizer = Normalizer(size).to(generator.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate, fused=True)

    def fit(
        self, transitions: Transitions, policy: Policy, start_observations: Float[Tensor, "starts observation"]
    ) -> Float[Tensor, " n"]:
        """Refits ratio and multiplier, both from where they were, and weighs every transition.

        The health has two more figures: `ratio_deviation`, the standard deviation of R, and `correction_deviation`,
        that of what the multiplier adds to it. Where the correction is larger, the weights are the multiplier's doing.
        """
        self.ratio.fit(transitions)
        log_ratio = self.ratio.log_ratio(transitions)
        columns = self._columns(transitions.observation, transitions.action)
        self.normalizer.load_state_dict(Normalizer.fit(columns).state_dict())
        for _ in range(self.config.steps):
            self._step(transitions, log_ratio, policy, start_observations)
        with torch.inference_mode():
            start_value = self.network(self._ahead(self._draw(start_observations, START_ROWS), policy))

            def residual(rows: slice) -> Tensor:
                batch = transitions[rows]
                value = self.network(self.normalizer(self._columns(batch.observation, batch.action)))
                following = self.network(self._ahead(batch.next_observation, policy))
                return self._residual(batch, log_ratio[rows], value, following, start_value)

            e = in_chunks(residual, len(transitions))
        if self.config.divergence == "kl":
            weights, raw = tom.kl_weights(e), e.exp()
        else:
            weights, raw = tom.chi_square_weights(e), torch.relu(1 + e)
        weights = self.limits.apply(weights, self.name)
        deviations = {
            "ratio_deviation": float(log_ratio.std(correction=0)),
            "correction_deviation": float((e - log_ratio).std(correction=0)),
        }
        self.health = weight_health(weights, float(raw.mean())) | deviations
        return weights

    def _step(self, transitions: Transitions, log_ratio: Tensor, policy: Policy, start_observations: Tensor) -> None:
        """One gradient step of the multiplier on the dual."""
        size, device = self.config.batch_size, self.generator.device
        index = torch.randint(len(transitions), (size,), generator=self.generator, device=device)
        batch = transitions[index]
        ahead = self._ahead(torch.cat([batch.next_observation, self._draw(start_observations, size)]), policy)
        # All that the network is asked, in one product.
        here = self.normalizer(self._columns(batch.observation, batch.action))
        value, following, start_value = self.network(torch.cat([here, ahead])).split(size)
        e = self._residual(batch, log_ratio[index], value, following, start_value)
        loss = tom.dual_loss(e, start_value, self.config.discount, self.config.divergence, self.config.conjugate)
        if self.config.slope_penalty:
            at = here.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.network(at).sum(), at, create_graph=True)
            loss = loss + self.config.slope_penalty * slope.square().sum(dim=1).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def _residual(
        self, batch: Transitions, log_ratio: Tensor, value: Tensor, following: Tensor, start_value: Tensor
    ) -> Tensor:
        if self.config.truncation == "regenerate":
            following = torch.where(batch.truncated, start_value.mean(), following)
        return tom.residual(
            log_ratio, value, following, start_value, batch.terminated, self.config.discount, self.config.termination
        )

    def _ahead(self, observation: Tensor, policy: Policy) -> Tensor:
        """The network's input for states from which the policy goes on: with a fresh action, or s alone."""
        if self.config.multiplier == "state":
            return self.normalizer(observation)
        with torch.no_grad():
            action = policy.sample(observation, self.generator)
        return self.normalizer(self._columns(observation, action))

    def _columns(self, observation: Tensor, action: Tensor) -> Tensor:
        return observation if self.config.multiplier == "state" else torch.cat([observation, action], dim=1)

    def _draw(self, rows: Tensor, size: int) -> Tensor:
        return rows[torch.randint(len(rows), (size,), generator=self.generator, device=self.generator.device)]

    def state(self) -> dict[str, Tensor]:
        """Everything that the next fit continues from, as named tensors; the generator is its owner's to keep."""
        return (
            with_prefix("ratio", self.ratio.state())
            | with_prefix("network", self.network.state_dict())
            | with_prefix("normalizer", self.normalizer.state_dict())
            | with_prefix("optimizer", optimizer_tensors(self.optimizer))
        )

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`; `path` is named if a tensor is missing or of another shape (FileError)."""
        self.ratio.load_state(without_prefix("ratio", tensors), path)
        load_module(self.network, without_prefix("network", tensors), path)
        load_module(self.normalizer, without_prefix("normalizer", tensors), path)
        load_optimizer(self.optimizer, without_prefix("optimizer", tensors))
