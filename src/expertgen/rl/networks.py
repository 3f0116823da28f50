"""Networks of the agents: MLPs with LayerNorm, and critics evaluated together in one batched matrix product."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from expertgen.runs.machine import fast_bfloat16

LOG_DEVIATION_RANGE = (-5.0, 1.0)


def _uniform(*shape: int, bound: float) -> Tensor:
    return torch.empty(shape).uniform_(-bound, bound)


class _Body(nn.Module):
    """Hidden layers of `members` networks side by side, ReLU(LayerNorm(x W) + shift), in batched matrix products.

    There is no scale behind the LayerNorm, since ReLU passes positive scales on to the next layer's weights, and no
    bias before it: x and 2 x look the same to a network. Products are in bfloat16 where that is fast. Where success
    alone is learnt, this is not only cheaper than an `_ExactBody` but better.
    """

    def __init__(self, members: int, size_in: int, width: int, depth: int) -> None:
        super().__init__()
        sizes = [size_in] + [width] * (depth - 1)
        self.weights = nn.ParameterList(_uniform(members, size, width, bound=1 / math.sqrt(size)) for size in sizes)
        self.shifts = nn.ParameterList(torch.zeros(members, 1, width) for _ in range(depth))

    def forward(self, x: Float[Tensor, "members batch size_in"]) -> Float[Tensor, "members batch width"]:
        product_type = torch.bfloat16 if fast_bfloat16(x.device) else torch.float32
        x = x.to(product_type)
        for weight, shift in zip(self.weights, self.shifts, strict=True):
            normalized = nn.functional.layer_norm(torch.bmm(x, weight.to(product_type)), shift.shape[-1:])
            x = normalized.add_(shift.to(product_type)).relu_()  # in place: memory is what a CPU waits for
        return x.float()


class _ExactBody(_Body):
    """ReLU(LayerNorm(x W + b) + shift), for returns of unstable tasks, which need a slow fall told from a fast one.

    Products of inputs are in float32: eight bits do not tell states apart that such a task needs told apart.
    """

    def __init__(self, members: int, size_in: int, width: int, depth: int) -> None:
        super().__init__(members, size_in, width, depth)
        sizes = [weight.shape[1] for weight in self.weights]
        self.biases = nn.ParameterList(_uniform(members, 1, width, bound=1 / math.sqrt(size)) for size in sizes)

    def forward(self, x: Float[Tensor, "members batch size_in"]) -> Float[Tensor, "members batch width"]:
        hidden_type = torch.bfloat16 if fast_bfloat16(x.device) else torch.float32
        # Without any scale, LayerNorm takes twice as long on a CPU.
        scale = torch.ones(self.shifts[0].shape[-1], device=x.device)
        for layer, (weight, bias, shift) in enumerate(zip(self.weights, self.biases, self.shifts, strict=True)):
            product_type = hidden_type if layer else torch.float32
            product = torch.baddbmm(bias.to(product_type), x.to(product_type), weight.to(product_type))
            x = nn.functional.layer_norm(product.float(), scale.shape, scale).add_(shift).relu_()
        return x


def _body(exact: bool, members: int, size_in: int, width: int, depth: int) -> _Body:
    return (_ExactBody if exact else _Body)(members, size_in, width, depth)


class Actor(nn.Module):
    """What every agent's actor can do.

    Attributes:
        draws: samples that it takes to choose one action.
    """

    draws: int = 1

    @abstractmethod
    def act(
        self, observation: Float[Tensor, "batch observation"], normal: Float[Tensor, "batch drawn"] | None = None
    ) -> Float[Tensor, "batch action"]:
        """An action in [-1, 1]: the policy's mode, or a sample of it where standard normal numbers are given.

        Args:
            observation: `[B, D]`.
            normal: `[B, draws · A]`.
        """


def _near_zero(width: int, size: int) -> nn.Linear:
    """A last layer that answers about zero, whatever it is asked."""
    layer = nn.Linear(width, size)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


class TanhActor(Actor):
    """a = tanh(μ(s)), in (-1, 1).

    Args:
        observation_size: D.
        action_size: A.
        width: hidden width.
        depth: hidden layers.
    """

    def __init__(self, observation_size: int, action_size: int, width: int, depth: int) -> None:
        super().__init__()
        self.body = _Body(1, observation_size, width, depth)
        self.head = _near_zero(width, action_size)

    def forward(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch action"]:
        """Returns the action."""
        return self.head(self.body(observation[None]).squeeze(0)).tanh()

    def act(
        self, observation: Float[Tensor, "batch observation"], normal: Float[Tensor, "batch action"] | None = None
    ) -> Float[Tensor, "batch action"]:
        """See `Actor.act`; there is nothing to sample."""
        return self(observation)


class GaussianActor(Actor):
    """π(a | s) = N(μ(s), σ) with one σ for all states; whoever acts clips it to [-1, 1].

    Args:
        observation_size: D.
        action_size: A.
        width: hidden width.
        depth: hidden layers.
        deviation: σ before training.
    """

    def __init__(self, observation_size: int, action_size: int, width: int, depth: int, deviation: float) -> None:
        super().__init__()
        self.body = _Body(1, observation_size, width, depth)
        self.head = _near_zero(width, action_size)
        self.log_deviation = nn.Parameter(torch.full((action_size,), math.log(deviation)))

    def forward(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch action"]:
        """Returns the mean."""
        return self.head(self.body(observation[None]).squeeze(0))

    def act(
        self, observation: Float[Tensor, "batch observation"], normal: Float[Tensor, "batch action"] | None = None
    ) -> Float[Tensor, "batch action"]:
        """See `Actor.act`."""
        mean = self(observation)
        return (mean if normal is None else mean + self.log_deviation.exp() * normal).clamp(-1, 1)

    def log_density(
        self, observation: Float[Tensor, "batch observation"], action: Float[Tensor, "batch action"]
    ) -> Float[Tensor, " batch"]:
        """Log densities of actions before they are clipped."""
        standard = (action - self(observation)) * (-self.log_deviation).exp()
        return -(0.5 * standard.square() + self.log_deviation + 0.5 * math.log(2 * math.pi)).sum(dim=-1)

    def entropy(self) -> Float[Tensor, ""]:
        """Differential entropy of the policy before it is clipped [nats]."""
        return (self.log_deviation + 0.5 * math.log(2 * math.pi * math.e)).sum()


class TanhGaussianActor(Actor):
    """π(a | s) = tanh(N(μ(s), σ(s))), a in (-1, 1).

    Args:
        observation_size: D.
        action_size: A.
        width: hidden width.
        depth: hidden layers.
        exact: for returns of unstable tasks; see `_ExactBody`.
    """

    def __init__(self, observation_size: int, action_size: int, width: int, depth: int, exact: bool = False) -> None:
        super().__init__()
        self.body = _body(exact, 1, observation_size, width, depth)
        self.head = _near_zero(width, 2 * action_size)

    def forward(
        self, observation: Float[Tensor, "batch observation"]
    ) -> tuple[Float[Tensor, "batch action"], Float[Tensor, "batch action"]]:
        """Returns mean and log standard deviation before the tanh."""
        features = self.body(observation[None]).squeeze(0)
        mean, log_deviation = self.head(features).chunk(2, dim=-1)
        return mean, log_deviation.clamp(*LOG_DEVIATION_RANGE)

    def act(
        self, observation: Float[Tensor, "batch observation"], normal: Float[Tensor, "batch action"] | None = None
    ) -> Float[Tensor, "batch action"]:
        """See `Actor.act`; the mode is that of the Gaussian."""
        mean, log_deviation = self(observation)
        return (mean if normal is None else mean + log_deviation.exp() * normal).tanh()

    def sample(
        self, observation: Float[Tensor, "batch observation"], normal: Float[Tensor, "batch action"]
    ) -> tuple[Float[Tensor, "batch action"], Float[Tensor, " batch"]]:
        """Draws actions by reparametrisation.

        Args:
            observation: `[B, D]`.
            normal: `[B, A]`, standard normal numbers.

        Returns:
            actions in (-1, 1) and their log densities `[B]` (change of variables through tanh, in its stable form).
        """
        mean, log_deviation = self(observation)
        raw = mean + log_deviation.exp() * normal
        log_gaussian = -0.5 * normal.square() - log_deviation - 0.5 * math.log(2 * math.pi)
        log_slope = 2 * (math.log(2) - raw - nn.functional.softplus(-2 * raw))
        return raw.tanh(), (log_gaussian - log_slope).sum(dim=-1)


class CriticEnsemble(nn.Module):
    """Several critics of (s, a), evaluated together.

    Args:
        critics: number of critics.
        observation_size: D.
        action_size: A.
        width: hidden width.
        depth: hidden layers.
        outputs: what each critic answers: one number, or the logits of so many atoms.
        exact: for returns of unstable tasks; see `_ExactBody`.
    """

    def __init__(
        self,
        critics: int,
        observation_size: int,
        action_size: int,
        width: int,
        depth: int,
        outputs: int = 1,
        exact: bool = False,
    ) -> None:
        super().__init__()
        self.critics = critics
        self.body = _body(exact, critics, observation_size + action_size, width, depth)
        self.weight = nn.Parameter(torch.empty(critics, width, outputs).normal_(std=0.01))
        self.bias = nn.Parameter(torch.zeros(critics, 1, outputs))

    def logits(
        self, observation: Float[Tensor, "batch observation"], action: Float[Tensor, "batch action"]
    ) -> Float[Tensor, "critics batch outputs"]:
        """Returns all outputs of every critic for every row."""
        x = torch.cat([observation, action], dim=-1).expand(self.critics, -1, -1)
        return torch.baddbmm(self.bias, self.body(x), self.weight)

    def forward(
        self, observation: Float[Tensor, "batch observation"], action: Float[Tensor, "batch action"]
    ) -> Float[Tensor, "critics batch"]:
        """Returns the one number of every critic for every row."""
        return self.logits(observation, action).squeeze(-1)


class ValueFunction(CriticEnsemble):
    """One critic of s alone.

    Args:
        observation_size: D.
        width: hidden width.
        depth: hidden layers.
    """

    def __init__(self, observation_size: int, width: int, depth: int) -> None:
        super().__init__(1, observation_size, 0, width, depth)

    def forward(self, observation: Float[Tensor, "*places observation"]) -> Float[Tensor, "*places"]:
        """Returns the one number of every observation."""
        rows = observation.reshape(-1, observation.shape[-1])
        return super().forward(rows, rows.new_empty(len(rows), 0)).view(observation.shape[:-1])


class BestOfActor(Actor):
    """Draws several actions, and takes the one that the critics value most: the best of N.

    Args:
        actor: who draws.
        critic: its lowest critic is what counts.
        draws: N.
    """

    def __init__(self, actor: Actor, critic: CriticEnsemble, draws: int) -> None:
        super().__init__()
        self.actor = actor
        self.critic = critic
        self.draws = draws

    def act(
        self, observation: Float[Tensor, "batch observation"], normal: Float[Tensor, "batch drawn"] | None = None
    ) -> Float[Tensor, "batch action"]:
        """See `Actor.act`; the mode is the actor's own."""
        if normal is None:
            return self.actor.act(observation)
        seen = observation.repeat_interleave(self.draws, dim=0)
        action = self.actor.act(seen, normal.reshape(len(seen), -1))
        value = self.critic(seen, action).amin(dim=0).view(-1, self.draws)
        return action.unflatten(0, (-1, self.draws))[torch.arange(len(observation)), value.argmax(dim=1)]
