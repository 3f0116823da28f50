"""When an imagined episode ends: rules of the Gym MuJoCo tasks, a check of them against data, and a learned rule."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from expertgen.dynamics.model import Standardizer
from expertgen.dynamics.transitions import Transitions
from expertgen.errors import TrainingError, UsageError, nearest

Termination = Callable[[Tensor, Tensor, Tensor], Bool[Tensor, "*batch"]]
"""Whether the task ends on the way from an observation, with an action, to the next observation."""

_POLE = 0.6
"""Length of each of the two poles [m]."""

_ROUNDING = 1e-5
"""Relative distance from a bound within which a float32 state may fall on either side of it."""


def never(observation: Tensor, action: Tensor, next_observation: Tensor) -> Bool[Tensor, "*batch"]:
    """The task only ends at its time limit (half-cheetah, reacher, pusher, swimmer)."""
    return torch.zeros(next_observation.shape[:-1], dtype=torch.bool, device=next_observation.device)


def hopper(observation: Tensor, action: Tensor, next_observation: Tensor) -> Bool[Tensor, "*batch"]:
    """The torso is below 0.7 m or tilted by 0.2 rad, or any other part of the state beyond 100."""
    height, angle, others = next_observation[..., 0], next_observation[..., 1], next_observation[..., 1:]
    return ~((height > 0.7) & (angle.abs() < 0.2) & (others.abs() < 100).all(dim=-1))


def walker2d(observation: Tensor, action: Tensor, next_observation: Tensor) -> Bool[Tensor, "*batch"]:
    """The torso is outside 0.8 to 2 m or tilted by 1 rad."""
    height, angle = next_observation[..., 0], next_observation[..., 1]
    return ~((height > 0.8) & (height < 2.0) & (angle.abs() < 1.0))


def ant(observation: Tensor, action: Tensor, next_observation: Tensor) -> Bool[Tensor, "*batch"]:
    """The torso is outside 0.2 to 1 m, or the state is not finite."""
    height = next_observation[..., 0]
    return ~((height >= 0.2) & (height <= 1.0) & next_observation.isfinite().all(dim=-1))


def humanoid(observation: Tensor, action: Tensor, next_observation: Tensor) -> Bool[Tensor, "*batch"]:
    """The torso is outside 1 to 2 m."""
    height = next_observation[..., 0]
    return ~((height > 1.0) & (height < 2.0))


def inverted_double_pendulum(observation: Tensor, action: Tensor, next_observation: Tensor) -> Bool[Tensor, "*batch"]:
    """The tip of the upper pole is at 1 m or below."""
    _, sine, other_sine, cosine, other_cosine = next_observation[..., :5].unbind(dim=-1)
    height = _POLE * cosine + _POLE * (cosine * other_cosine - sine * other_sine)
    return ~(height > 1.0)


TERMINATIONS: dict[str, Termination] = {
    "hopper": hopper,
    "walker2d": walker2d,
    "half-cheetah": never,
    "ant": ant,
    "ant-truncated": ant,
    "humanoid": humanoid,
    "humanoid-truncated": humanoid,
    "inverted-double-pendulum": inverted_double_pendulum,
    "reacher": never,
    "pusher": never,
    "swimmer": never,
}
"""The rules by task."""


def termination_of(task: str) -> Termination:
    """Returns the rule of a task.

    Raises:
        UsageError: if it is not known.
    """
    if task not in TERMINATIONS:
        raise UsageError(f"there is no termination rule for task {task!r}{nearest(task, TERMINATIONS)}; learn one")
    return TERMINATIONS[task]


def check_termination(function: Termination, transitions: Transitions) -> None:
    """Compares a rule with what the simulator said; states within rounding of a bound may fall on either side.

    Raises:
        TrainingError: naming the first transition on which they disagree.
    """
    state = transitions.next_observation
    said = function(transitions.observation, transitions.action, state)
    wrong = said != transitions.terminated
    for factor in (1 - _ROUNDING, 1 + _ROUNDING):
        moved = function(transitions.observation, transitions.action, state * factor)
        wrong &= moved != transitions.terminated
    if wrong.any():
        row = int(wrong.int().argmax())
        verdict = "ends" if said[row] else "goes on"
        numbers = ", ".join(f"{x:.6g}" for x in state[row].tolist())
        raise TrainingError(
            f"the termination rule disagrees with the simulator on transition {row} and {int(wrong.sum()) - 1} more: "
            f"by the rule the episode {verdict} at the state [{numbers}]; correct the rule or learn one"
        )


class LearnedTermination(nn.Module):
    """A classifier of transitions, for tasks whose rule is not known; data that it learns from are never weighted.

    Ends are rare, so half of every batch are ends. The logit is then moved back to the odds of the data.

    Args:
        observation_size: D.
        action_size: A.
        width: width of the two hidden layers.
    """

    log_odds: Tensor

    def __init__(self, observation_size: int, action_size: int, width: int = 64) -> None:
        super().__init__()
        size = 2 * observation_size + action_size
        self.scale = Standardizer(size)
        self.network = nn.Sequential(
            nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )
        self.register_buffer("log_odds", torch.tensor(-math.inf))

    def fit(
        self,
        transitions: Transitions,
        generator: torch.Generator,
        steps: int = 500,
        batch_size: int = 256,
        learning_rate: float = 3e-3,
    ) -> None:
        """Learns from all transitions, from the present weights on; without a single end (or going on) it is constant.

        Args:
            transitions: all data.
            generator: source of the batches.
            steps: gradient steps.
            batch_size: rows of a step.
            learning_rate: Adam's.
        """
        inputs = torch.cat([transitions.observation, transitions.action, transitions.next_observation], dim=-1)
        self.scale.fit(inputs)
        inputs = self.scale(inputs)
        classes = [torch.nonzero(transitions.terminated == end).flatten() for end in (False, True)]
        self.log_odds.fill_(math.log(len(classes[1]) or 1e-9) - math.log(len(classes[0]) or 1e-9))
        if not all(map(len, classes)):
            return
        optimizer = torch.optim.Adam(self.network.parameters(), lr=learning_rate, fused=True)
        half = batch_size // 2
        target = torch.tensor([0.0, 1.0], device=inputs.device).repeat_interleave(half)
        for _ in range(steps):
            rows = torch.cat([c[torch.randint(len(c), (half,), generator=generator).to(c.device)] for c in classes])
            loss = binary_cross_entropy_with_logits(self.network(inputs[rows]).squeeze(-1), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def forward(
        self,
        observation: Float[Tensor, "*batch observation"],
        action: Float[Tensor, "*batch action"],
        next_observation: Float[Tensor, "*batch observation"],
    ) -> Bool[Tensor, "*batch"]:
        """Whether an end is more likely than going on: a `Termination`."""
        inputs = self.scale(torch.cat([observation, action, next_observation], dim=-1))
        return self.network(inputs).squeeze(-1) + self.log_odds > 0
