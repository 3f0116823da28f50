"""What a page and the server say to each other, and what the server refuses to hear.

From the page: text, one JSON object a message (`Input`, `Command` or `Choice`). To the page: text, JSON objects of the
kinds "hello", "state" and "busy", and binary messages, one picture each (`picture_message`).
"""

from __future__ import annotations

import json
import struct
import time
from dataclasses import dataclass
from typing import Any, Literal, get_args

from expertgen.errors import ExpertgenError

MAX_MESSAGE = 1024
"""Longest message from the page [bytes]."""

MESSAGES_PER_SECOND, BURST = 300.0, 300.0
"""How many messages the page may send in the long run, and at once."""

PACES = (0.125, 0.25, 0.5, 1.0)
"""How fast a simulation may run, as a share of real time."""

Verb = Literal["stop", "keep", "drop", "redo"]

_HEADER = struct.Struct("<BxxxIII")


class ProtocolError(ExpertgenError):
    """A message that the page would never send."""


class TooManyError(ProtocolError):
    """Messages faster than the page would ever send them."""


@dataclass(frozen=True)
class Input:
    """What the person does now.

    Attributes:
        number: counts inputs; pictures say which was the last they show.
        action: one number in [-1, 1] for each action dimension.
    """

    number: int
    action: tuple[float, ...]


@dataclass(frozen=True)
class Command:
    """A button.

    Attributes:
        verb: what to do with the episode at hand.
    """

    verb: Verb


@dataclass(frozen=True)
class Choice:
    """A setting that the person changes.

    Attributes:
        pace: how fast to simulate, one of `PACES`, or None.
        view: name of the view to show large, or None.
    """

    pace: float | None = None
    view: str | None = None


Message = Input | Command | Choice


def parse_message(text: str | bytes, action_size: int, views: tuple[str, ...]) -> Message:
    """Reads one message from the page.

    Raises:
        ProtocolError: for anything that is not exactly one of the messages above.
    """
    if not isinstance(text, str):
        raise ProtocolError("a message must be text")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("a message must be JSON") from None
    if not isinstance(values, dict):
        raise ProtocolError("a message must be a JSON object")
    keys = set(values)
    if keys == {"number", "action"}:
        return Input(_number(values["number"]), _action(values["action"], action_size))
    if keys == {"do"} and values["do"] in get_args(Verb):
        return Command(values["do"])
    if keys == {"pace"} and not isinstance(values["pace"], bool) and values["pace"] in PACES:
        return Choice(pace=float(values["pace"]))
    if keys == {"view"} and values["view"] in views:
        return Choice(view=values["view"])
    raise ProtocolError("no such message")


def picture_message(view: int, number: int, steps: int, picture: bytes) -> bytes:
    """One picture for the page.

    Args:
        view: index of its view.
        number: of the last input that it shows.
        steps: control steps since the start of the episode.
        picture: JPEG.
    """
    return _HEADER.pack(view, number, steps, len(picture)) + picture


def film_body(pictures: list[bytes]) -> bytes:
    """Pictures of an episode one after the other, each after its length (4 bytes, little endian)."""
    return b"".join(struct.pack("<I", len(picture)) + picture for picture in pictures)


class RateLimit:
    """A bucket that holds `BURST` messages and is filled at `MESSAGES_PER_SECOND`."""

    def __init__(self) -> None:
        self._left, self._then = BURST, time.monotonic()

    def count(self) -> None:
        """Counts one message.

        Raises:
            TooManyError: if there were too many.
        """
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._then) * MESSAGES_PER_SECOND) - 1
        self._then = now
        if self._left < 0:
            raise TooManyError("too many messages")


def _number(value: Any) -> int:
    if type(value) is not int or not 0 < value < 1 << 32:
        raise ProtocolError("number must be a positive integer of 32 bits")
    return value


def _action(value: Any, size: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != size:
        raise ProtocolError(f"action must be a list of {size} numbers")
    if not all(type(one) in (int, float) and abs(one) <= 1 for one in value):
        raise ProtocolError("action must be numbers in [-1, 1]")
    return tuple(map(float, value))
