"""Policy-adapted model learning: data of past policies counts the more, the nearer they are to the present one.

Source: Live in the Moment (Wang et al. 2022, https://arxiv.org/abs/2207.12141).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting.interface import Policy, weight_health
from expertgen.errors import UsageError
from expertgen.runs.checkpoint import with_prefix, without_prefix

WARM_UP = 0.05
"""Weight of a warm-up transition, relative to one of the first block after it."""

SMALLEST_DISTANCE = 1e-3
"""Floor under a distance, so that an unchanged policy does not take all the weight."""

Moments = tuple[Float[Tensor, "rows action"], Float[Tensor, "rows action"]]


def policy_distance(past: Moments, present: Moments) -> Float[Tensor, ""]:
    """Mean over states of Pinsker's bound on the total variation, sqrt(KL(present || past) / 2).

    The policies are diagonal Gaussians before a tanh, which changes neither KL nor total variation.

    Args:
        past: means and log standard deviations of the past policy.
        present: those of the present one, for the same states.
    """
    log_variance_ratio = 2 * (past[1] - present[1])
    shift = (past[0] - present[0]).square() * (-2 * past[1]).exp()
    twice_kl = (log_variance_ratio - 1 + (-log_variance_ratio).exp() + shift).sum(dim=1)
    return 0.5 * twice_kl.clamp(min=0).sqrt().mean()  # rounding can make it slightly negative


def block_weights(
    distances: Float[Tensor, " past"], sizes: list[int], newest_share: float
) -> Float[Tensor, " past_plus_two"]:
    """Weight of a transition of each block, up to a common factor.

    Args:
        distances: from the present policy to the policy at the end of each block, without warm-up and newest block.
        sizes: transitions of the warm-up, of each of those blocks, and of the newest block.
        newest_share: smallest share of the whole weight that the newest block has.
    """
    inverse = 1 / distances.clamp(min=SMALLEST_DISTANCE)
    weights = inverse / inverse.sum()
    older = torch.cat([WARM_UP * weights[:1], weights])
    total = (older * older.new_tensor(sizes[:-1])).sum()
    newest = torch.maximum(weights.max(), newest_share / (1 - newest_share) * total / sizes[-1])
    return torch.cat([older, newest[None]])


class Pdml:
    """Blocks of the buffer, one for each refit, weighted by the inverse distance of their policy to the present one.

    A refit closes a block and keeps a snapshot of the policy, so the buffer must keep every transition. The first block
    is the warm-up. Until there is a block between it and the newest one, weights are uniform.

    Args:
        generator: source of the states at which policies are compared.
        states: number of those states, drawn from the buffer.
        newest_share: smallest share of the whole weight that the newest block has.
    """

    def __init__(self, generator: torch.Generator, states: int = 1024, newest_share: float = 0.02) -> None:
        if states < 1:
            raise UsageError(f"pdml.states must be at least 1, not {states}")
        if not 0 <= newest_share < 1:
            raise UsageError(f"pdml.newest_share must lie in [0, 1), not {newest_share}")
        self.name = "pdml"
        self.health: dict[str, float] = {}
        self.generator = generator
        self.states = states
        self.newest_share = newest_share
        self.sizes: list[int] = []
        self.snapshots: list[dict[str, Tensor]] = []

    @torch.no_grad()
    def fit(
        self, transitions: Transitions, policy: Policy, start_observations: Float[Tensor, "starts observation"]
    ) -> Float[Tensor, " n"]:
        """Closes the newest block and weighs all of them.

        Raises:
            UsageError: if the policy is no torch module, or the buffer has not grown since the last fit.
        """
        if not isinstance(policy, nn.Module):
            raise UsageError("the pdml weighting keeps copies of the policy, so the policy must be a torch module")
        size = len(transitions) - sum(self.sizes)
        if size < 1:
            raise UsageError(
                f"the pdml weighting knows {sum(self.sizes)} transitions, and the buffer has {len(transitions)}: "
                "it needs new ones at each fit and a buffer that forgets none"
            )
        self.sizes.append(size)
        self.snapshots.append({name: value.detach().clone() for name, value in policy.state_dict().items()})
        weights = torch.ones_like(transitions.reward)
        if len(self.sizes) > 2:
            by_block = block_weights(self._distances(transitions, policy), self.sizes, self.newest_share)
            counts = torch.tensor(self.sizes, device=weights.device)
            weights = by_block.double().repeat_interleave(counts)
            weights = (weights / weights.mean()).to(transitions.reward.dtype)
        self.health = weight_health(weights)
        return weights

    def _distances(self, transitions: Transitions, policy: Policy) -> Float[Tensor, " past"]:
        """From the present policy to those at the ends of all blocks but the first and the newest."""
        device = self.generator.device
        rows = torch.randint(len(transitions), (self.states,), generator=self.generator, device=device)
        observation = transitions.observation[rows]
        present = policy.distribution(observation)
        past = copy.deepcopy(policy)
        assert isinstance(past, nn.Module)
        distances = []
        for snapshot in self.snapshots[1:-1]:
            past.load_state_dict(snapshot)
            distances.append(policy_distance(past.distribution(observation), present))
        return torch.stack(distances)

    def state(self) -> dict[str, Tensor]:
        """Sizes of the blocks and the policies at their ends, as named tensors."""
        tensors = {"sizes": torch.tensor(self.sizes, dtype=torch.long)}
        for index, snapshot in enumerate(self.snapshots):
            tensors |= with_prefix(str(index), snapshot)
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`."""
        self.sizes = tensors["sizes"].tolist()
        self.snapshots = [without_prefix(str(index), tensors) for index in range(len(self.sizes))]
