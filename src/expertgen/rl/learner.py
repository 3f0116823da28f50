"""What the loop drives: an algorithm, the meaning of its actions, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from expertgen.evaluation.policy import Policy
from expertgen.rl.process import Controller
from expertgen.rl.replay import Replay
from expertgen.tasks.chunks import ChunkOutcome

Mode = Literal["mean", "sampled", "best"]
"""How an actor picks its action: the mode of its distribution, a sample of it, or of several the critics' favourite."""


def success_reward(outcome: ChunkOutcome) -> np.ndarray:
    """1 at success, 0 otherwise, float32 `[N]`."""
    return outcome.success.astype(np.float32)


@runtime_checkable
class Agent(Protocol):
    """What the loop asks of an algorithm.

    Attributes:
        generator: source of every random number it draws.
        action_size: A.
    """

    generator: torch.Generator
    action_size: int

    @property
    def average_actor(self) -> nn.Module:
        """What is validated and kept."""
        ...

    def explore(self, observation: Tensor) -> Tensor:
        """Actions that collect data, one for every environment."""
        ...

    def update(self, batch: Any, /, rate: float = 1.0) -> dict[str, Tensor]:
        """Learns from a batch or a rollout at a part of its learning rate; returns health metrics as scalars."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Everything that learning continues from."""
        ...

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`."""
        ...


@runtime_checkable
class Solution(Protocol):
    """What is kept of a run: an actor in one mode, as a policy and as a file.

    Attributes:
        validated: success on the validation seed.
    """

    validated: float

    def policy(self, seed: int) -> Policy:
        """The policy; `seed` is that of its samples."""
        ...

    def save(self, path: Path) -> None:
        """Saves it, atomically."""
        ...


@dataclass(frozen=True)
class Learner:
    """An algorithm, and the meaning of its actions.

    Attributes:
        agent: the algorithm.
        discount: per control step.
        n_step: decisions that a return looks ahead, of an off-policy agent.
        rounds: decisions of every environment between two updates, of an on-policy agent; 0 means off-policy. It learns
            from the start, without a warm-up.
        controller: makes the controller, given the source of whatever it draws.
        modes: in which an actor is validated.
        solution: makes what is kept of an actor in a mode.
        remembers_chunks: whether the replay gets chunks as actions, and not what the agent chose them by.
        progressive_share: part of the budget until the agent decides everywhere; before, it decides at a share of the
            decisions that rises linearly, and the behaviour of the warm-up at the others.
        begins_as_prior: whether it is the prior that acts in the warm-up, which then lasts until an episode succeeded.
        demos: demonstrations as experience, where batches have a share of them.
        reward: what a decision is rewarded with, float32 `[N]`; returns must lie in [0, 1].
    """

    agent: Agent
    discount: float
    n_step: int
    rounds: int
    controller: Callable[[torch.Generator], Controller]
    modes: tuple[Mode, ...]
    solution: Callable[[Any, Mode], Solution]
    remembers_chunks: bool = False
    progressive_share: float = 0.0
    begins_as_prior: bool = True
    demos: Replay | None = None
    reward: Callable[[ChunkOutcome], np.ndarray] = success_reward
