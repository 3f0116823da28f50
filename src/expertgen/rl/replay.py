"""Replay of synchronous environments: rows are rounds, columns environments, n-step returns are made when sampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What an agent learns from.

    Attributes:
        observation: `[B, D]`.
        action: `[B, A]`, in [-1, 1].
        reward: `[B]`, discounted sum over the n steps that follow, cut where the episode ends.
        next_observation: `[B, D]`, what is seen after those steps.
        discount: `[B]`, factor of the value of `next_observation`: γ^k, and 0 where the episode terminated.
    """

    observation: Float[Tensor, "batch observation"]
    action: Float[Tensor, "batch action"]
    reward: Float[Tensor, " batch"]
    next_observation: Float[Tensor, "batch observation"]
    discount: Float[Tensor, " batch"]

    def beside(self, other: Batch) -> Batch:
        """Both batches as one."""
        return Batch(*(torch.cat([getattr(self, name), getattr(other, name)]) for name in Batch.__dataclass_fields__))


@dataclass(frozen=True)
class Rollout:
    """What `N` environments did in `T` rounds, in their order: what an on-policy agent learns from.

    Attributes:
        observation: `[T, N, D]`.
        action: `[T, N, A]`.
        reward: `[T, N]`.
        next_observation: `[T, N, D]`, the true one, also where an episode ended.
        terminated: `[T, N]`, nothing follows.
        truncated: `[T, N]`, cut by a time limit.
        discount: γ of a round.
    """

    observation: Float[Tensor, "rounds envs observation"]
    action: Float[Tensor, "rounds envs action"]
    reward: Float[Tensor, "rounds envs"]
    next_observation: Float[Tensor, "rounds envs observation"]
    terminated: Bool[Tensor, "rounds envs"]
    truncated: Bool[Tensor, "rounds envs"]
    discount: float


class Replay:
    """A ring of the last `capacity` rounds of `num_envs` environments, on one device.

    Args:
        capacity: rounds kept; a round adds one transition of every environment.
        num_envs: N.
        observation_size: D.
        action_size: A.
        device: torch device.
    """

    def __init__(
        self, capacity: int, num_envs: int, observation_size: int, action_size: int, device: str | torch.device = "cpu"
    ) -> None:
        self.capacity = capacity
        self.num_envs = num_envs
        self.rounds = 0
        self._episode_start = torch.zeros(num_envs, dtype=torch.long)
        self._successful: Tensor | None = None

        def column(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(capacity, num_envs, *shape, dtype=dtype, device=device)

        self._data = {
            "observation": column(observation_size),
            "action": column(action_size),
            "reward": column(),
            "next_observation": column(observation_size),
            "terminated": column(dtype=torch.bool),
            "truncated": column(dtype=torch.bool),
            "successful": column(dtype=torch.bool),
        }

    def __len__(self) -> int:
        """Number of transitions held."""
        return min(self.rounds, self.capacity) * self.num_envs

    def add(
        self,
        observation: Float[Tensor, "envs observation"],
        action: Float[Tensor, "envs action"],
        reward: Float[Tensor, " envs"],
        next_observation: Float[Tensor, "envs observation"],
        terminated: Bool[Tensor, " envs"],
        truncated: Bool[Tensor, " envs"],
        success: Bool[Tensor, " envs"],
    ) -> None:
        """Adds one round. Where an episode succeeds, all its transitions still held are marked as successful."""
        row = self.rounds % self.capacity
        for name, value in (
            ("observation", observation),
            ("action", action),
            ("reward", reward),
            ("next_observation", next_observation),
            ("terminated", terminated),
            ("truncated", truncated),
        ):
            self._data[name][row] = value
        self._data["successful"][row] = False
        self._successful = None
        self.rounds += 1
        oldest = self.rounds - self.capacity
        for env in torch.nonzero(success).flatten().tolist():
            start = max(int(self._episode_start[env]), oldest)
            rows = torch.arange(start, self.rounds) % self.capacity
            self._data["successful"][rows, env] = True
        self._episode_start[(terminated | truncated).cpu()] = self.rounds

    def cut(self) -> None:
        """Abandons the episodes under way: each ends here as at a time limit, so that no return crosses the cut."""
        if self.rounds:
            row = (self.rounds - 1) % self.capacity
            self._data["truncated"][row] |= ~self._data["terminated"][row]
            self._episode_start.fill_(self.rounds)

    def successes(self) -> Int[Tensor, " transitions"]:
        """Flat positions of the transitions that belong to successful episodes."""
        if self._successful is None:
            self._successful = torch.nonzero(self._data["successful"].view(-1)[: len(self)]).flatten()
        return self._successful

    def sample(
        self, size: int, n_step: int, gamma: float, generator: torch.Generator, success_share: float = 0.0
    ) -> Batch:
        """Draws transitions with n-step returns.

        Args:
            size: B.
            n_step: n; a return stops early where the episode ends or the newest round is reached.
            gamma: discount per round.
            generator: source of the draw.
            success_share: share of the batch drawn from successful episodes alone.
        """
        device = self._data["reward"].device
        index = torch.randint(len(self), (size,), generator=generator).to(device)
        preferred = round(success_share * size)
        if preferred:
            successful = self.successes()
            index[:preferred] = successful[torch.randint(len(successful), (preferred,), generator=generator).to(device)]
        return self._n_step(index, n_step, gamma)

    def _n_step(self, index: Tensor, n_step: int, gamma: float) -> Batch:
        """Assembles the n-step returns that begin at flat positions `index` `[B]`."""
        first = index // self.num_envs
        env = index % self.num_envs
        newest = (self.rounds - 1) % self.capacity
        rows = (first[:, None] + torch.arange(n_step, device=index.device)) % self.capacity
        envs = env[:, None].expand_as(rows)
        ended = self._data["terminated"][rows, envs] | self._data["truncated"][rows, envs] | (rows == newest)
        ended[:, -1] = True
        last = ended.int().argmax(dim=1)
        steps = torch.arange(n_step, device=index.device)
        discounts = gamma**steps
        reward = (self._data["reward"][rows, envs] * discounts * (steps <= last[:, None])).sum(dim=1)
        end = rows.gather(1, last[:, None]).squeeze(1)
        alive = (~self._data["terminated"][end, env]).float()
        return Batch(
            observation=self._data["observation"][first, env],
            action=self._data["action"][first, env],
            reward=reward,
            next_observation=self._data["next_observation"][end, env],
            discount=gamma ** (last + 1) * alive,
        )

    def newest(self, rounds: int, gamma: float) -> Rollout:
        """The last rounds, oldest first, at a discount per round; `rounds` must not exceed what is held."""
        rows = torch.arange(self.rounds - rounds, self.rounds) % self.capacity
        held = {name: self._data[name][rows] for name in self._data if name in Rollout.__dataclass_fields__}
        return Rollout(**held, discount=gamma)

    def state(self) -> dict[str, Tensor]:
        """Everything held, as named tensors (for a checkpoint)."""
        held = min(self.rounds, self.capacity)
        return {name: value[:held] for name, value in self._data.items()} | {"rounds": torch.tensor(self.rounds)}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores `state`; episodes under way count as abandoned."""
        self.rounds = int(tensors["rounds"])
        held = min(self.rounds, self.capacity)
        for name, value in self._data.items():
            value[:held] = tensors[name]
        self._successful = None
        self._episode_start.fill_(self.rounds)
