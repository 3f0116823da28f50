"""How imperfect each task's demonstrator is: strengths found by calibration, shipped with the package.

A demonstrator is worth steering from if the prior that learns from it succeeds, but rarely. One number sets how bad it
is: its strength multiplies both imperfections of `DEFAULT_IMPERFECTIONS`. `expertgen demos calibrate` finds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from expertgen.demos.imperfections import DEFAULT_IMPERFECTIONS, Imperfections
from expertgen.errors import FileError
from expertgen.runs.files import read_json, write_text

BAND = (0.02, 0.40)
"""Success of a prior that is worth steering."""

Verdict = Literal["in the band", "too good", "too bad"]

_FILE = "calibration.json"


def imperfections_of(strength: float) -> Imperfections:
    """The default imperfections, times a strength; noise beyond the largest action would say nothing more."""
    default = DEFAULT_IMPERFECTIONS
    error, noise = strength * default.calibration_error, strength * default.actuation_noise
    return Imperfections(calibration_error=round(error, 4), actuation_noise=round(min(noise, 1.0), 4))


@dataclass(frozen=True)
class Calibration:
    """A demonstrator's strength of imperfection, and what it leads to.

    Attributes:
        strength: multiple of the default imperfections.
        demos: success of its demonstrations.
        prior: success of the prior that learns from them.
        low, high: 95% interval of that.
        episodes: episodes behind the prior's success.
        tried: every strength tried, in order, with the prior's success.
    """

    strength: float
    demos: float
    prior: float
    low: float
    high: float
    episodes: int
    tried: tuple[tuple[float, float], ...]

    @property
    def verdict(self) -> Verdict:
        """Whether the prior lies in the `BAND`; if not, no strength that was tried leads there."""
        low, high = BAND
        return "too bad" if self.prior < low else "too good" if self.prior > high else "in the band"


def save_calibrations(path: Path, calibrations: Mapping[str, Calibration]) -> None:
    """Writes calibrations as JSON, one task per line."""
    lines = [f"  {json.dumps(task)}: {json.dumps(asdict(one))}" for task, one in sorted(calibrations.items())]
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def load_calibrations(path: Path) -> dict[str, Calibration]:
    """Reads what `save_calibrations` wrote.

    Raises:
        FileError: if the file is missing or something else.
    """
    rows = read_json(path)
    try:
        return {
            task: Calibration(**{**row, "tried": tuple((strength, prior) for strength, prior in row["tried"])})
            for task, row in rows.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise FileError(f"{path} does not hold calibrations; delete it, or choose another --out") from None


@cache
def shipped_calibrations() -> dict[str, Calibration]:
    """The calibrations that come with this version of the package, by task."""
    with resources.as_file(resources.files("expertgen.demos").joinpath(_FILE)) as path:
        return load_calibrations(path)
