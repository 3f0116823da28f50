"""What every format gives: an opened file whose episodes are read one by one, values neither sorted nor checked yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expertgen.errors import FileError

FLAT = "observation"
"""Name of the one observation with all columns, where the parts have no names."""


@dataclass(frozen=True)
class Episode:
    """One episode of `T` control steps, as it stands in a file.

    Attributes:
        observations: name → `[T, columns]`, those that were asked for.
        actions: `[T, A]`.
        rewards: `[T]`.
        success: whether it ended in success; files that do not say mean yes, because people keep what worked.
        seed: seed of the collection; 0 where the file does not say.
        source: who demonstrated; empty where the file does not say.
        failure: why the program that demonstrated could not go on; empty where the file does not say.
        origin: where it was recorded first; empty where the file does not say.
        weight: how often it is drawn in training, relative to others.
    """

    observations: dict[str, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    success: bool = True
    seed: int = 0
    source: str = ""
    failure: str = ""
    origin: str = ""
    weight: float = 1.0


Read = Callable[[Mapping[str, int]], Episode]
"""Reads an episode with some of its observations, given as name → number of columns; raises a DefectError."""


@dataclass(frozen=True)
class Recording:
    """A file of another format, opened and looked at, but not read.

    Attributes:
        observations: name → shape at one control step, of all observations that are numbers.
        actions: shape of the actions at one control step.
        steps: control steps of all episodes, as declared.
        episodes: name of each episode, and what reads it, in order.
        dropped: what the file holds and demonstrations do not, in words.
        flat: name of the observation that has all columns, where the parts have no names.
    """

    observations: dict[str, tuple[int, ...]]
    actions: tuple[int, ...]
    steps: int
    episodes: list[tuple[str, Read]]
    dropped: tuple[str, ...] = ()
    flat: str = FLAT


def check_memory(path: Path, steps: int, columns: int) -> None:
    """Refuses demonstrations that this machine cannot hold, before they are read.

    Args:
        path: their file.
        steps: control steps, as declared.
        columns: float32 numbers kept of each.

    Raises:
        FileError: if they need more than the machine's memory.
    """
    if not hasattr(os, "sysconf"):
        return
    needed, memory = 4 * steps * columns, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory:
        raise FileError(
            f"{path} declares {steps:,} control steps, which take {needed / 1e9:,.0f} GB of memory; "
            f"this machine has {memory / 1e9:,.0f} GB: split the file"
        )
