"""What all world models share: networks side by side, standardised inputs and targets, predictions by elite members."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from expertgen.dynamics.transitions import Transitions
from expertgen.errors import UsageError
from expertgen.runs.machine import fast_bfloat16
from expertgen.runs.ranges import Count, check_ranges

TARGET_BOUND = 10.0
"""Standardised targets and predictions lie within ±this: a contact force may be a hundred deviations away."""

_BLOCK = 1024
"""Rows that a member predicts at a time, so that hidden layers stay in the processor's cache."""

Distribution = tuple[Tensor, ...]
"""Parameters of a predictive distribution over standardised targets, each `[members, batch, ...]`."""


@dataclass(frozen=True)
class ModelConfig:
    """A world model: an ensemble of networks of one size."""

    members: Count = 7
    """Networks in the ensemble."""
    elites: Count = 5
    """Members, those with the lowest holdout error, that predict."""
    width: Count = 200
    """Hidden width."""
    depth: Count = 4
    """Hidden layers."""
    residual: bool = True
    """Predict the change of the observation; otherwise the next observation itself."""

    def __post_init__(self) -> None:
        check_ranges(self, "model")
        if self.elites > self.members:
            raise UsageError(f"model.elites must be at most model.members ({self.members}), not {self.elites}")


class Standardizer(nn.Module):
    """z = (x - mean) / deviation, within a bound. A constant column is only shifted.

    Args:
        size: columns.
        bound: largest |z|.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, size: int, bound: float = TARGET_BOUND) -> None:
        super().__init__()
        self.bound = bound
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))

    def fit(self, rows: Float[Tensor, "rows size"]) -> None:
        """Takes mean and deviation of these rows."""
        deviation = rows.double().std(dim=0, correction=0)
        self.mean.copy_(rows.double().mean(dim=0))
        self.deviation.copy_(torch.where(deviation > 1e-8, deviation, 1.0))

    def forward(self, x: Float[Tensor, "*batch size"]) -> Float[Tensor, "*batch size"]:
        """Returns standardised values."""
        return ((x - self.mean) / self.deviation).clamp(-self.bound, self.bound)

    def inverse(self, z: Float[Tensor, "*batch size"]) -> Float[Tensor, "*batch size"]:
        """Returns values in their own units."""
        return z.clamp(-self.bound, self.bound) * self.deviation + self.mean


class ParallelNetworks(nn.Module):
    """`members` multilayer perceptrons side by side, in batched matrix products, with SiLU between the layers.

    Products of hidden features are in bfloat16 where that is fast. Those of inputs, whose small differences matter, and
    the results, with the last bias, are float32.
    """

    def __init__(self, members: int, size_in: int, width: int, depth: int, size_out: int) -> None:
        super().__init__()
        sizes = [size_in] + [width] * depth + [size_out]
        self.weights = nn.ParameterList(
            torch.empty(members, fan_in, fan_out).uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
            for fan_in, fan_out in itertools.pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(members, 1, size) for size in sizes[1:])

    def forward(
        self, x: Float[Tensor, "members batch size_in"], members: Int[Tensor, " members"] | None = None
    ) -> Float[Tensor, "members batch size_out"]:
        """Applies each network, or each of `members`, to its own rows."""
        hidden_type = torch.bfloat16 if fast_bfloat16(x.device) else torch.float32
        layers = zip(self.weights, self.biases, strict=True)
        parts = [(weight, bias) if members is None else (weight[members], bias[members]) for weight, bias in layers]
        for layer, (weight, bias) in enumerate(parts[:-1]):
            product_type = hidden_type if layer else torch.float32
            x = torch.baddbmm(bias.to(product_type), x.to(product_type), weight.to(product_type))
            x = nn.functional.silu(x)
        weight, bias = parts[-1]
        return torch.bmm(x.to(hidden_type), weight.to(hidden_type)).float() + bias


class DynamicsModel(nn.Module, ABC):
    """p(s', r | s, a) as an ensemble; its targets are the change of the observation (or the next one) and the reward.

    Args:
        observation_size: D.
        action_size: A.
        config: sizes and options.
        outputs_per_target: numbers that a network puts out for each of the D + 1 targets.

    Attributes:
        elites: indices of the members that predict; the trainer sets them.
    """

    elites: Tensor

    def __init__(self, observation_size: int, action_size: int, config: ModelConfig, outputs_per_target: int) -> None:
        super().__init__()
        self.config = config
        self.members = config.members
        self.targets = observation_size + 1
        inputs = observation_size + action_size
        self.networks = ParallelNetworks(
            config.members, inputs, config.width, config.depth, outputs_per_target * self.targets
        )
        self.input_scale = Standardizer(inputs)
        self.target_scale = Standardizer(self.targets)
        self.register_buffer("elites", torch.arange(config.elites))

    @abstractmethod
    def decode(self, output: Tensor, members: Tensor | None) -> Distribution:
        """Turns the networks' output into the parameters of the predictive distribution."""

    @abstractmethod
    def deviance(
        self, distribution: Distribution, target: Float[Tensor, "members batch targets"]
    ) -> Float[Tensor, "members batch"]:
        """What training minimises, per member and sample."""

    @abstractmethod
    def mean(self, distribution: Distribution) -> Float[Tensor, "members batch targets"]:
        """The mean of a predictive distribution, standardised."""

    @abstractmethod
    def sample(self, distribution: Distribution, generator: torch.Generator) -> Float[Tensor, "members batch targets"]:
        """Draws from a predictive distribution, standardised."""

    def fit_normalizers(self, transitions: Transitions) -> None:
        """Takes means and deviations of inputs and targets from these rows."""
        self.input_scale.fit(torch.cat([transitions.observation, transitions.action], dim=-1))
        self.target_scale.fit(self._raw_target(transitions))

    def target(self, batch: Transitions) -> Float[Tensor, "*batch targets"]:
        """The standardised targets of these rows; reward comes last."""
        return self.target_scale(self._raw_target(batch))

    def forward(
        self,
        observation: Float[Tensor, "*members batch observation"],
        action: Float[Tensor, "*members batch action"],
        members: Int[Tensor, " chosen"] | None = None,
    ) -> Distribution:
        """The predictive distributions of all members, or of those chosen.

        Args:
            observation: `[members, B, D]`, rows of their own for each member, or `[B, D]`, the same rows for all.
            action: likewise, `[..., A]`.
            members: indices of members; all by default.
        """
        x = self.input_scale(torch.cat([observation, action], dim=-1))
        x = x.expand(self.members if members is None else len(members), -1, -1)
        return self.decode(self.networks(x, members), members)

    def loss(self, batch: Transitions) -> Float[Tensor, "members batch"]:
        """What training minimises, per member and sample; tensors of the batch are `[members, B, ...]`."""
        return self.deviance(self(batch.observation, batch.action), self.target(batch))

    def expectation(
        self,
        observation: Float[Tensor, "*members batch observation"],
        action: Float[Tensor, "*members batch action"],
        members: Int[Tensor, " chosen"] | None = None,
    ) -> tuple[Float[Tensor, "predictors batch observation"], Float[Tensor, "predictors batch"]]:
        """The mean next observation and reward by each member, or by each of those chosen; differentiable."""
        return self._to_prediction(self.mean(self(observation, action, members)), observation)

    @torch.no_grad()
    def predict(
        self,
        observation: Float[Tensor, "batch observation"],
        action: Float[Tensor, "batch action"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "batch observation"], Float[Tensor, " batch"]]:
        """Draws next observations and rewards, each row from one elite member.

        Rows are dealt over the elites by a random permutation: a row costs one network, not all. Every elite gets
        ⌈B / elites⌉ rows, the last ones what is left.

        Args:
            observation: `[B, D]`.
            action: `[B, A]`.
            generator: source of the dealing and of the draws.
        """
        rows, elites = len(observation), len(self.elites)
        if not rows:
            return observation, observation.new_empty(0)
        order = torch.randperm(rows, generator=generator, device=generator.device).to(observation.device)
        share = -(-rows // elites)
        dealt = order[torch.arange(elites * share, device=order.device) % rows].view(elites, share)
        blocks = []
        for block in dealt.split(_BLOCK, dim=1):
            distribution = self(observation[block], action[block], self.elites)
            blocks.append(self.sample(distribution, generator))
        standardised = blocks[0].new_empty(rows, self.targets)
        standardised[order] = torch.cat(blocks, dim=1).flatten(0, 1)[:rows]
        return self._to_prediction(standardised, observation)

    def _raw_target(self, batch: Transitions) -> Tensor:
        state = batch.next_observation - batch.observation if self.config.residual else batch.next_observation
        return torch.cat([state, batch.reward[..., None]], dim=-1)

    def _to_prediction(self, standardised: Tensor, observation: Tensor) -> tuple[Tensor, Tensor]:
        target = self.target_scale.inverse(standardised)
        state = target[..., :-1]
        return (observation + state if self.config.residual else state), target[..., -1]


def normal_like(mean: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in the shape of `mean`."""
    return torch.randn(mean.shape, generator=generator, device=generator.device).to(mean.device)
