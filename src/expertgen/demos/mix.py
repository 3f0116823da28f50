"""Mixing demonstrations: merge, select, split, subsample and weigh. Every episode keeps where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from expertgen.demos.store import Demo, DemoSet
from expertgen.errors import UsageError, nearest
from expertgen.runs.seeding import numpy_generator

Outcome = Literal["all", "successes", "failures"]


@dataclass(frozen=True)
class Selection:
    """Which demonstrations are meant: those that fit all of this."""

    keep: Outcome = "all"
    """How they ended: "all", "successes" or "failures"."""
    source: tuple[str, ...] = ()
    """Who demonstrated, one of these; by default anybody."""
    min_steps: int = 1
    """At least so many control steps."""
    max_steps: int | None = None
    """At most so many control steps."""

    def picks(self, demo: Demo) -> bool:
        """Whether a demonstration is meant."""
        steps = len(demo.actions)
        return (
            (self.keep == "all" or demo.success == (self.keep == "successes"))
            and (not self.source or demo.source in self.source)
            and self.min_steps <= steps <= (self.max_steps or steps)
        )

    def check(self, demos: DemoSet) -> None:
        """Refuses sources that do not occur.

        Raises:
            UsageError: naming the source.
        """
        known = sorted({demo.source for demo in demos.demos})
        for source in self.source:
            if source not in known:
                raise UsageError(f"no demonstration is by {source!r}{nearest(source, known)}; there are {known}")


ALL_OF_THEM = Selection()
"""The selection that leaves nothing out."""


def with_origins(demos: DemoSet, name: str) -> DemoSet:
    """Notes where demonstrations come from, before they are mixed with others; those that have an origin keep it.

    Args:
        demos: the demonstrations.
        name: of their file.
    """
    return replace(
        demos,
        demos=tuple(
            demo if demo.origin else replace(demo, origin=f"{name}: demo_{i}") for i, demo in enumerate(demos.demos)
        ),
    )


def merge(sets: Sequence[DemoSet]) -> DemoSet:
    """Puts sets of the same task one after the other.

    Args:
        sets: at least one.

    Raises:
        UsageError: if their tasks, fields or numbers of actions differ.
    """
    first = sets[0]
    for other in sets[1:]:
        for what in ("task", "fields", "action_size"):
            if (one := getattr(first, what)) != (two := getattr(other, what)):
                raise UsageError(f"only demonstrations of one task can be merged: {what} is {one!r} and {two!r}")
    notes = tuple(note for one in sets for note in one.notes)
    return DemoSet(first.task, first.fields, tuple(demo for one in sets for demo in one.demos), notes)


def select(demos: DemoSet, selection: Selection) -> DemoSet:
    """Keeps the demonstrations that are meant.

    Raises:
        UsageError: if there is none, or a source does not occur.
    """
    selection.check(demos)
    return _only(demos, [i for i, demo in enumerate(demos.demos) if selection.picks(demo)], "fits the selection")


def split(demos: DemoSet, share: float, seed: int) -> tuple[DemoSet, DemoSet]:
    """Divides demonstrations at random; both parts keep the order.

    Args:
        demos: at least two.
        share: how many of them go into the first part, between 0 and 1; each part gets at least one.
        seed: of the choice.

    Raises:
        UsageError: if `share` is not between 0 and 1, or there is only one demonstration.
    """
    if not 0.0 < share < 1.0:
        raise UsageError(f"share must be between 0 and 1, not {share}")
    if len(demos) < 2:
        raise UsageError("one demonstration cannot be split")
    count = min(max(round(share * len(demos)), 1), len(demos) - 1)
    order = numpy_generator(seed, "demos", "split").permutation(len(demos))
    return _only(demos, sorted(order[:count].tolist())), _only(demos, sorted(order[count:].tolist()))


def subsample(demos: DemoSet, episodes: int, seed: int) -> DemoSet:
    """Draws demonstrations without replacement, and keeps their order. The same seed draws more of the same.

    Args:
        demos: the demonstrations.
        episodes: how many to draw.
        seed: of the choice.

    Raises:
        UsageError: if there are not so many.
    """
    if not 1 <= episodes <= len(demos):
        raise UsageError(f"episodes must be from 1 to {len(demos)}, the number of demonstrations, not {episodes}")
    order = numpy_generator(seed, "demos", "subsample").permutation(len(demos))
    return _only(demos, sorted(order[:episodes].tolist()))


def weigh(demos: DemoSet, weight: float, selection: Selection) -> DemoSet:
    """Sets the weight of the demonstrations that are meant; the others keep theirs.

    Args:
        demos: the demonstrations.
        weight: how often each of their windows is drawn when a prior is trained, relative to 1; positive.
        selection: which ones.

    Raises:
        UsageError: if `weight` is not positive, or no demonstration is meant.
    """
    if not (np.isfinite(weight) and weight > 0.0):
        raise UsageError(f"weight must be positive, not {weight}; leave demonstrations out with 'demos filter'")
    select(demos, selection)
    changed = (replace(demo, weight=weight) if selection.picks(demo) else demo for demo in demos.demos)
    return replace(demos, demos=tuple(changed))


def _only(demos: DemoSet, chosen: list[int], what: str = "is left") -> DemoSet:
    if not chosen:
        raise UsageError(f"no demonstration of {demos.task!r} {what}")
    return replace(demos, demos=tuple(demos.demos[i] for i in chosen))
