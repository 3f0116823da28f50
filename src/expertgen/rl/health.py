"""How learning goes: success of training episodes without a lean, and means of what updates report."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


class RecentSuccess:
    """Success of the newest training episodes of which nothing is missing.

    Short episodes, which are those that succeed, end first: among the last that have ended there are too many of them,
    most of all after a restart of all environments. So episodes count by when they began: in the newest decisions that
    are a time limit ago, as many as a time limit has. What began there has ended.

    Args:
        num_envs: environments.
        limit: decisions of an episode at most.

    Attributes:
        outcomes: for each of these decisions the episodes that began there.
    """

    def __init__(self, num_envs: int, limit: int) -> None:
        self.outcomes: list[list[bool]] = []
        self._num_envs, self._limit = num_envs, limit
        self.restart()

    @property
    def rate(self) -> float:
        """Share of them that succeeded; 0 as long as there are none."""
        episodes = [success for begun in self.outcomes for success in begun]
        return float(np.mean(episodes)) if episodes else 0.0

    def restart(self) -> None:
        """All environments begin anew: episodes under way are forgotten, and those that began with them."""
        self._decisions = 0
        self._begun = np.zeros(self._num_envs, int)
        self._ended: dict[int, list[bool]] = {}

    def add(self, ended: np.ndarray, success: np.ndarray) -> None:
        """Adds a decision of all environments.

        Args:
            ended: `[N]` bool, whose episode it ended.
            success: `[N]` bool.
        """
        self._decisions += 1
        for env in np.flatnonzero(ended):
            self._ended.setdefault(int(self._begun[env]), []).append(bool(success[env]))
            self._begun[env] = self._decisions
        if self._decisions >= self._limit:
            begun = self._ended.pop(self._decisions - self._limit, [])
            self.outcomes = [*self.outcomes, begun][-self._limit :]


class Means:
    """Means of what the updates report, each over the updates that report it."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, health: Mapping[str, Tensor]) -> None:
        """Adds one update."""
        self.count += 1
        for name, value in health.items():
            total, count = self._sums.get(name, (torch.zeros_like(value), 0))
            self._sums[name] = (total + value, count + 1)

    def take(self) -> dict[str, Tensor]:
        """The means since it was last asked."""
        means = {name: total / count for name, (total, count) in self._sums.items()}
        self.count, self._sums = 0, {}
        return means
