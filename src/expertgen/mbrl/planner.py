"""Planning with a world model: sample action sequences, imagine them, keep what is best, and trust a value beyond.

PETS (Chua et al. 2018, https://arxiv.org/abs/1805.12114) with the update of MPPI (Williams et al. 2017) and a value at
the horizon. It acts as an agent does, so any loop that learns a model can act by it. Unlike in PETS, a plan is imagined
once and not by several particles: each step is a draw from an elite of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.dynamics.termination import Termination
from expertgen.dynamics.weighting.interface import Policy
from expertgen.errors import UsageError
from expertgen.mbrl.rollouts import Predictor
from expertgen.runs.ranges import Count, Positive, check_ranges

Value = Callable[[Float[Tensor, "batch observation"]], Float[Tensor, " batch"]]
"""What is still to come from a state."""

_SMALLEST_DEVIATION = 0.05


@dataclass(frozen=True)
class PlannerConfig:
    """A planner in the model."""

    horizon: Count = 5
    """Steps that are imagined."""
    candidates: Count = 256
    """Action sequences tried at a time."""
    proposals: int = 32
    """How many of them the policy proposes, where there is one."""
    elites: Count = 32
    """Best sequences that the next ones are drawn around."""
    iterations: Count = 4
    """Times that sequences are drawn."""
    temperature: Positive = 0.5
    """Temperature of the elites' weights, in standard deviations of their returns."""

    def __post_init__(self) -> None:
        check_ranges(self, "planner")
        if not 0 <= self.proposals <= self.candidates:
            raise UsageError(
                f"planner.proposals must lie between 0 and planner.candidates ({self.candidates}), not {self.proposals}"
            )
        if self.elites > self.candidates:
            raise UsageError(
                f"planner.elites must be at most planner.candidates ({self.candidates}), not {self.elites}"
            )


class Planner:
    """Plans anew at every step and takes the first action of the plan.

    Args:
        model: a trained model.
        termination: when imagined episodes end.
        config: options.
        action_size: A.
        discount: gives γ, which may change while the agent learns.
        generator: source of every random number.
        value: value of the state at the horizon; by default nothing is expected beyond it.
        policy: proposes some of the sequences.
    """

    def __init__(
        self,
        model: Predictor,
        termination: Termination,
        config: PlannerConfig,
        action_size: int,
        discount: Callable[[], float],
        generator: torch.Generator,
        value: Value | None = None,
        policy: Policy | None = None,
    ) -> None:
        self.model, self.termination, self.config = model, termination, config
        self.action_size, self.discount, self.generator = action_size, discount, generator
        self.value, self.policy = value, policy

    @torch.no_grad()
    def act(
        self, observation: Float[Tensor, "batch observation"], deterministic: bool = False
    ) -> Float[Tensor, "batch action"]:
        """The first action of the best plan: the plans' weighted mean, or a draw from their spread, to explore."""
        config, rows = self.config, len(observation)
        shape = (rows, config.candidates, config.horizon, self.action_size)
        mean, deviation = observation.new_zeros(rows, 1, *shape[2:]), observation.new_ones(rows, 1, *shape[2:])
        proposed = self._proposals(observation)
        for _ in range(config.iterations):
            plans = (mean + deviation * self._normal(shape).to(mean.device)).clamp(-1, 1)
            plans[:, : proposed.shape[1]] = proposed
            score, best = self._score(observation, plans).topk(config.elites, dim=1)
            elites = plans.gather(1, best[:, :, None, None].expand(-1, -1, *shape[2:]))
            spread = score.std(dim=1, keepdim=True, correction=0).clamp(min=1e-8)
            weight = (score / (config.temperature * spread)).softmax(dim=1)[:, :, None, None]
            mean = (weight * elites).sum(dim=1, keepdim=True)
            variance = (weight * (elites - mean).square()).sum(dim=1, keepdim=True)
            deviation = variance.sqrt().clamp(min=_SMALLEST_DEVIATION)
        action = mean[:, 0, 0]
        if not deterministic:
            action = action + deviation[:, 0, 0] * self._normal((rows, self.action_size)).to(mean.device)
        return action.clamp(-1, 1)

    def _proposals(self, observation: Tensor) -> Float[Tensor, "batch proposals horizon action"]:
        """Sequences of the policy, played in the model."""
        count, horizon = self.config.proposals, self.config.horizon
        if self.policy is None or not count:
            return observation.new_zeros(len(observation), 0, horizon, self.action_size)
        state = observation.repeat_interleave(count, dim=0)
        actions = []
        for _ in range(horizon):
            actions.append(self.policy.sample(state, self.generator))
            state, _ = self.model.predict(state, actions[-1], self.generator)
        return torch.stack(actions, dim=1).unflatten(0, (len(observation), count))

    def _score(
        self, observation: Tensor, plans: Float[Tensor, "batch candidates horizon action"]
    ) -> Float[Tensor, "batch candidates"]:
        """Imagined discounted return of each plan, each step by an elite drawn anew."""
        rows, candidates = plans.shape[:2]
        state = observation.repeat_interleave(candidates, dim=0)
        total = state.new_zeros(len(state))
        alive, discount = torch.ones_like(total), self.discount()
        for step, action in enumerate(plans.flatten(0, 1).unbind(dim=1)):
            following, reward = self.model.predict(state, action, self.generator)
            total += discount**step * alive * reward
            alive = alive * ~self.termination(state, action, following)
            state = following
        if self.value is not None:
            total += discount ** plans.shape[2] * alive * self.value(state)
        return total.view(rows, candidates)

    def _normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)
