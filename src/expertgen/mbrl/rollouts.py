"""Branched rollouts: short imagined episodes that begin at states the agent has really been in (MBPO, algorithm 2)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.dynamics.termination import Termination
from expertgen.dynamics.training import draw_rows
from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting.interface import Policy
from expertgen.errors import TrainingError
from expertgen.runs.checkpoint import save_checkpoint


@runtime_checkable
class Predictor(Protocol):
    """All that is asked of a model to imagine with it; every `DynamicsModel` has it."""

    def predict(
        self,
        observation: Float[Tensor, "batch observation"],
        action: Float[Tensor, "batch action"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "batch observation"], Float[Tensor, " batch"]]:
        """Draws next observations and rewards."""
        ...


def rollout_length(epoch: int, schedule: tuple[int, int, int, int]) -> int:
    """Steps of a rollout: k0 until epoch e0, k1 from epoch e1 on, a straight line (rounded down) between them.

    Args:
        epoch: from 0.
        schedule: (e0, e1, k0, k1).
    """
    first, last, shortest, longest = schedule
    share = min(max((epoch - first) / (last - first), 0.0), 1.0)
    return int(shortest + share * (longest - shortest))


def draw_starts(
    observation: Float[Tensor, "rows observation"],
    weights: Float[Tensor, " rows"],
    count: int,
    generator: torch.Generator,
) -> Float[Tensor, "count observation"]:
    """Draws start states in proportion to weights; equal ones draw uniformly."""
    return observation[draw_rows(weights.double().cumsum(dim=0)[None], count, generator)[0]]


def branched_rollouts(
    model: Predictor,
    policy: Policy,
    termination: Termination,
    start: Float[Tensor, "starts observation"],
    length: int,
    generator: torch.Generator,
    folder: Path,
) -> Transitions:
    """Lets the policy act in the model; a row that terminates leaves.

    Args:
        model: predicts; an ensemble deals the rows over its elites anew at every step.
        policy: acts.
        termination: says when an imagined episode ends.
        start: where rollouts begin.
        length: steps of a rollout at most. After the last one the value takes over, as at a time limit.
        generator: source of all draws.
        folder: where a step is dumped that is not finite.

    Returns:
        all imagined transitions, step by step.

    Raises:
        TrainingError: if a prediction is not finite; the step is in `folder/bad_batch.safetensors`.
    """
    steps: list[Transitions] = []
    observation = start
    for _ in range(length):
        action = policy.sample(observation, generator)
        following, reward = model.predict(observation, action, generator)
        terminated = termination(observation, action, following)
        step = Transitions(observation, action, reward, following, terminated, torch.zeros_like(terminated))
        steps.append(step)
        # Checked once for all rows: a sum is not finite where any of its terms is not.
        if not bool((following.sum() + reward.sum()).isfinite()):
            dump = folder / "bad_batch.safetensors"
            save_checkpoint(dump, "bad-batch", 1, step.tensors(), {})
            raise TrainingError(f"the world model predicts states that are not finite; the batch is in {dump}")
        observation = following[~terminated]
        if not len(observation):
            break
    return concatenate(*steps)


def concatenate(*parts: Transitions, dim: int = 0) -> Transitions:
    """Joins transitions along a dimension."""
    columns = [part.tensors() for part in parts]
    return Transitions(**{name: torch.cat([c[name] for c in columns], dim=dim) for name in columns[0]})
