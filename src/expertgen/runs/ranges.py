"""Ranges of options: declared with the type of the field, checked in one place.

@dataclass(frozen=True)
class SacConfig:
    width: Count = 128
    discount: Rate = 0.996

    def __post_init__(self) -> None:
        check_ranges(self, "sac")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints

from expertgen.errors import UsageError


@dataclass(frozen=True)
class Range:
    """Which values a field can have.

    Attributes:
        words: what it must do, e.g. `"be positive"`.
        holds: whether a value does; not a number never does.
    """

    words: str
    holds: Callable[[float], bool]


Count = Annotated[int, Range("be at least 1", lambda value: value >= 1)]
Natural = Annotated[int, Range("not be negative", lambda value: value >= 0)]
Positive = Annotated[float, Range("be positive", lambda value: 0 < value < math.inf)]
NotNegative = Annotated[float, Range("not be negative", lambda value: 0 <= value < math.inf)]
Rate = Annotated[float, Range("lie in (0, 1]", lambda value: 0 < value <= 1)]
Share = Annotated[float, Range("lie in [0, 1)", lambda value: 0 <= value < 1)]
Part = Annotated[float, Range("lie in [0, 1]", lambda value: 0 <= value <= 1)]


def check_ranges(options: Any, group: str = "") -> None:
    """Refuses options of which a field lies outside of the range that its type declares; None is in every range.

    Args:
        options: a dataclass.
        group: what its options are called by, e.g. `"sac"` for `sac.width`.

    Raises:
        UsageError: naming the field, its range and the value.
    """
    for name, required in _ranges(type(options)):
        value = getattr(options, name)
        if value is not None and not required.holds(value):
            raise UsageError(f"{group and group + '.'}{name} must {required.words}, not {value}")


@cache
def _ranges(options: type) -> tuple[tuple[str, Range], ...]:
    hints = get_type_hints(options, include_extras=True)
    return tuple((name, found) for name, hint in hints.items() for found in _declared(hint))


def _declared(hint: Any) -> Iterator[Range]:
    """The ranges in a type hint, also in those of a union."""
    for part in (*getattr(hint, "__metadata__", ()), *get_args(hint)):
        if isinstance(part, Range):
            yield part
        elif hasattr(part, "__metadata__"):
            yield from _declared(part)
