"""What host and guest say to each other: fixed binary records and short texts, over two pipes. No pickle, no objects.

    host → guest    START, once: uint32 length, JSON
                    then requests: kind uint8, count uint32, and for each of `count` environments
                        RESET: id uint32, seed uint64
                        ACT:   id uint32, observation float32 [D]
    guest → host    to START: uint32 length, JSON {"applied", "missing", "refused"}
                    to a request: one record for each of its environments, in its order, and then a text (uint16 length,
                    UTF-8) for each record whose status is not 0

Everything that comes from the guest has a length that the host knows, or a bound that it checks.
"""

from __future__ import annotations

import struct

import numpy as np

from expertgen.demos.failure import LONGEST_TEXT, Verdict

RESET, ACT = 1, 2
REQUEST = struct.Struct("<BI")
LENGTH = struct.Struct("<I")
TEXT_LENGTH = struct.Struct("<H")

LARGEST_REPORT = 65536
"""Bytes of the answer to START."""
LARGEST_TEXT = 4 * LONGEST_TEXT
"""Bytes of a text: so many may the UTF-8 of its characters take."""
FLUSH_SECONDS = 0.1
"""The guest hands over its records at least so often, so that the host can tell slow from stuck."""
OUT_OF_MEMORY = 77
"""Exit code of a guest that has no memory left for its own work."""

VERDICTS = tuple(Verdict)
"""A record's status is 1 + the index here, or 0."""


def reset_rows(count: int) -> np.ndarray:
    """Empty rows of a RESET."""
    return np.zeros(count, [("id", "<u4"), ("seed", "<u8")])


def act_rows(count: int, observation_size: int) -> np.ndarray:
    """Empty rows of an ACT."""
    return np.zeros(count, [("id", "<u4"), ("observation", "<f4", (observation_size,))])


def records(count: int, action_size: int) -> np.ndarray:
    """Empty records of an answer; the action of a RESET is 0."""
    return np.zeros(count, [("status", "u1"), ("seconds", "<f4"), ("action", "<f4", (action_size,))])
