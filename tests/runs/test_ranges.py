"""Ranges are declared with the type, and hold."""

import math
from dataclasses import dataclass

import pytest

from expertgen.errors import UsageError
from expertgen.runs.ranges import Count, Natural, NotNegative, Part, Positive, Rate, Share, check_ranges


@dataclass(frozen=True)
class Options:
    count: Count = 1
    natural: Natural = 0
    positive: Positive = 1e-9
    not_negative: NotNegative = 0.0
    rate: Rate = 1.0
    share: Share = 0.0
    part: Part = 1.0
    perhaps: Share | None = None
    free: float = -1.0

    def __post_init__(self) -> None:
        check_ranges(self, "group")


@dataclass(frozen=True)
class More(Options):
    further: Count = 3


def test_the_ends_of_ranges_belong_to_them_or_not():
    Options()
    Options(part=0.0, rate=1e-9, share=0.999, perhaps=0.5)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"count": 0}, "group.count must be at least 1, not 0"),
        ({"natural": -1}, "group.natural must not be negative, not -1"),
        ({"positive": 0.0}, "group.positive must be positive, not 0.0"),
        ({"positive": math.inf}, "group.positive must be positive, not inf"),
        ({"not_negative": -0.1}, "group.not_negative must not be negative, not -0.1"),
        ({"not_negative": math.inf}, "group.not_negative must not be negative, not inf"),
        ({"rate": 0.0}, "group.rate must lie in (0, 1], not 0.0"),
        ({"share": 1.0}, "group.share must lie in [0, 1), not 1.0"),
        ({"part": 1.1}, "group.part must lie in [0, 1], not 1.1"),
        ({"perhaps": 1.0}, "group.perhaps must lie in [0, 1), not 1.0"),
    ],
)
def test_what_lies_outside_is_refused_by_name(changes, refusal):
    with pytest.raises(UsageError) as caught:
        Options(**changes)
    assert str(caught.value) == refusal


@pytest.mark.parametrize("name", ["positive", "not_negative", "rate", "share", "part", "perhaps"])
def test_what_is_no_number_lies_in_no_range(name):
    with pytest.raises(UsageError, match=f"group.{name} must"):
        Options(**{name: math.nan})


def test_children_are_checked_by_their_parent_and_a_group_is_not_needed():
    with pytest.raises(UsageError, match=r"^group\.further must be at least 1, not 0$"):
        More(further=0)
    with pytest.raises(UsageError, match=r"^count must be at least 1, not 0$"):
        check_ranges(type("Plain", (), {"__annotations__": {"count": Count}, "count": 0})())
