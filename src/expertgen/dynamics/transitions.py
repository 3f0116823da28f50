"""What world models learn from: transitions in the order of experience, and a growing buffer of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from expertgen.errors import FileError, UsageError


@dataclass(frozen=True)
class Transitions:
    """Transitions in the order in which they were experienced, oldest first; all tensors on one device.

    Attributes:
        observation: `[..., D]`.
        action: `[..., A]`, in [-1, 1].
        reward: `[...]`.
        next_observation: `[..., D]`, the true one, also where the episode ended.
        terminated: `[...]`, the task ended there: no bootstrap.
        truncated: `[...]`, the time limit was reached: bootstrap.
    """

    observation: Float[Tensor, "*batch observation"]
    action: Float[Tensor, "*batch action"]
    reward: Float[Tensor, "*batch"]
    next_observation: Float[Tensor, "*batch observation"]
    terminated: Bool[Tensor, "*batch"]
    truncated: Bool[Tensor, "*batch"]

    def __len__(self) -> int:
        """Number of rows: the first dimension."""
        return len(self.reward)

    def __getitem__(self, rows: slice | Tensor) -> Transitions:
        """Selects rows; an index `[members, batch]` gives tensors `[members, batch, ...]`, a slice gives views."""
        return Transitions(**{name: _select(tensor, rows) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _select(tensor: Tensor, rows: slice | Tensor) -> Tensor:
    if isinstance(rows, slice) or rows.dtype == torch.bool:
        return tensor[rows]
    # Three times faster on a CPU than tensor[rows].
    return tensor.index_select(0, rows.flatten()).unflatten(0, rows.shape)


class TransitionBuffer:
    """The newest `capacity` transitions, held in one piece so that all of them are views in the order of experience.

    It never writes where it has written before: it moves to larger memory when it is full. Views that were handed out
    therefore keep their values, and adding rows costs a constant time on average.

    Args:
        capacity: transitions kept.
        observation_size: D.
        action_size: A.
        device: torch device.
    """

    def __init__(
        self, capacity: int, observation_size: int, action_size: int, device: str | torch.device = "cpu"
    ) -> None:
        if capacity < 1:
            raise UsageError(f"the capacity of a buffer must be at least 1, not {capacity}")
        self.capacity = capacity
        self._begin = self._end = 0
        self._data = {
            "observation": torch.empty(0, observation_size, device=device),
            "action": torch.empty(0, action_size, device=device),
            "reward": torch.empty(0, device=device),
            "next_observation": torch.empty(0, observation_size, device=device),
            "terminated": torch.empty(0, dtype=torch.bool, device=device),
            "truncated": torch.empty(0, dtype=torch.bool, device=device),
            "first": torch.empty(0, dtype=torch.bool, device=device),
        }

    def __len__(self) -> int:
        """Transitions held."""
        return self._end - self._begin

    def add(self, transitions: Transitions, first: Bool[Tensor, " batch"]) -> None:
        """Adds rows behind the newest one.

        Args:
            transitions: rows, oldest first; several environments give theirs in turn.
            first: `[B]`, the row is the first one of its episode.
        """
        count = min(len(transitions), self.capacity)
        kept = min(len(self), self.capacity - count)
        self._begin = self._end - kept
        if self._end + count > len(self._data["reward"]):
            self._move(2 * (kept + count))
        for name, value in (transitions.tensors() | {"first": first}).items():
            self._data[name][self._end : self._end + count] = value[-count:] if count else value
        self._end += count

    def all(self) -> Transitions:
        """All transitions, oldest first (views)."""
        return self.newest(len(self))

    def newest(self, count: int) -> Transitions:
        """The newest `count` transitions or all there are, oldest of them first (views)."""
        rows = slice(max(self._begin, self._end - count), self._end)
        return Transitions(**{name: value[rows] for name, value in self._data.items() if name != "first"})

    def starts(self) -> Float[Tensor, "episodes observation"]:
        """The first observations of the episodes that begin in the buffer, oldest first."""
        rows = slice(self._begin, self._end)
        return self._data["observation"][rows][self._data["first"][rows]]

    def state(self) -> dict[str, Tensor]:
        """Everything held, as named tensors (for a checkpoint)."""
        return {name: value[self._begin : self._end] for name, value in self._data.items()}

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`.

        Raises:
            FileError: naming `path`, if a tensor is missing or of another shape.
        """
        for name, own in self._data.items():
            if name not in tensors or tensors[name].shape[1:] != own.shape[1:]:
                raise FileError(f"{path}: transitions of this task need a column {name!r} of {list(own.shape[1:])}")
        self._begin, self._end = 0, len(tensors["reward"])
        self._data = {name: tensors[name].to(own.device, own.dtype).clone() for name, own in self._data.items()}

    def _move(self, size: int) -> None:
        held = slice(self._begin, self._end)
        for name, value in self._data.items():
            self._data[name] = value.new_empty(size, *value.shape[1:])
            self._data[name][: len(self)] = value[held]
        self._begin, self._end = 0, len(self)
