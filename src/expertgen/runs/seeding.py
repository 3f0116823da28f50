"""Seeds by name: each random stream of a run is derived from one number and a path of names, not from another one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """Returns a 31-bit seed for the stream `names` of a run, e.g. `derive_seed(0, "steer", "segment", 3)`.

    Streams of different names are independent; the same arguments give the same seed on every machine.
    """
    words = [n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names]
    # The count is part of the key because a seed sequence ignores zeros at its end: ("a",) and ("a", 0) must differ.
    return int(np.random.SeedSequence([seed, len(words), *words]).generate_state(1)[0] >> 1)


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator for the named stream."""
    return np.random.default_rng(derive_seed(seed, *names))


def torch_generator(seed: int, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for the named stream."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *names))


@contextmanager
def seeded_weights(seed: int, *names: str | int) -> Iterator[None]:
    """Networks built inside draw their first weights from the named stream; torch's global stream is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, *names))
        yield
