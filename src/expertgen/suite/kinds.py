"""What a member of a suite can be: kinds of runs. To compare another kind, write its three functions, add them here."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expertgen.runs.progress import StageProgress
from expertgen.suite import mbrl, priors, steering
from expertgen.suite.table import Point

Settings = dict[str, Any]
"""Plain data, as JSON holds it."""


@dataclass(frozen=True)
class Kind:
    """A kind of run. All three are functions of a module, because they travel to other processes by name.

    Attributes:
        resolve: from a method's settings, with `task` and `seed` among them, to all settings of that run, or a
            UsageError in one line. Called for every member before anything starts.
        run: from those settings, a folder, and one that all members of the suite have in common, to a loop that does
            the run in the first, or what is left of it after a kill, to the same result.
        read: from those settings and the folder of a finished run to what it measured.
    """

    resolve: Callable[[Settings], Settings]
    run: Callable[[Settings, Path, Path], Generator[StageProgress, None, Any]]
    read: Callable[[Settings, Path], list[Point]]


KINDS: dict[str, Kind] = {
    "prior": Kind(priors.resolve, priors.run, priors.read),
    "steer": Kind(steering.resolve, steering.run, steering.read),
    "mbrl": Kind(mbrl.resolve, mbrl.run, mbrl.read),
}
"""All kinds, by the name that suite files use."""
