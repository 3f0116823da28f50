"""Reading a run folder for its report: every piece may be missing, because a run may have been stopped anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expertgen.errors import FileError
from expertgen.evaluation.evaluate import Failure, load_failures
from expertgen.evaluation.results import CONTROLS, STAGES, Results
from expertgen.evaluation.robustness import Robustness
from expertgen.reporting.noise import NoisePicture
from expertgen.runs.files import read_json
from expertgen.runs.metrics import read_metrics

FOLDERS = (*STAGES, *CONTROLS)


@dataclass(frozen=True)
class Clip:
    """A short film, or a strip of frames, of one episode.

    Attributes:
        stage: which policy it shows.
        success: how the episode ended.
        path: an mp4 film or a PNG strip.
    """

    stage: str
    success: bool
    path: Path


@dataclass(frozen=True)
class RunRecord:
    """Everything that a report shows.

    Attributes:
        folder: the run folder.
        about: `run.json`: task, seed, command, versions, machine, and whatever else is in it.
        config: `config.json`, the resolved configuration.
        results: `results.json`; None before the first stage was evaluated.
        metrics: stage → rows of its `metrics.jsonl`; stages without rows are left out.
        failures: stage → failed episodes of its evaluation.
        clips: films, or strips where there is no film, in the order of the stages, success before failure.
        chunk_spread: how far the prior's plans spread over noise [action units], of `prior/steerability.json`.
        noise: `expert/noise.json`.
        robustness: `robustness.json`.
    """

    folder: Path
    about: Mapping[str, Any]
    config: Mapping[str, Any]
    results: Results | None
    metrics: Mapping[str, list[dict[str, Any]]]
    failures: Mapping[str, tuple[Failure, ...]]
    clips: tuple[Clip, ...]
    chunk_spread: float | None
    noise: NoisePicture | None
    robustness: Robustness | None

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Reads what there is.

        Raises:
            FileError: if the folder is not a run folder, or one of its files is broken.
        """
        if not (folder / "run.json").exists() and not (folder / "results.json").exists():
            raise FileError(f"{folder} is not a run folder: it holds neither run.json nor results.json")
        results = Results.load(folder / "results.json") if (folder / "results.json").exists() else None
        noise, robustness = folder / "expert" / "noise.json", folder / "robustness.json"
        return cls(
            folder=folder,
            about=read_object(folder / "run.json"),
            config=read_object(folder / "config.json"),
            results=results,
            metrics={stage: rows for stage in FOLDERS if (rows := read_metrics(folder / stage))},
            failures={
                stage: load_failures(path) for stage in FOLDERS if (path := folder / stage / "episodes.json").exists()
            },
            clips=tuple(clip for stage in FOLDERS for clip in _clips(folder / stage)),
            chunk_spread=read_object(folder / "prior" / "steerability.json").get("chunk_spread"),
            noise=NoisePicture.load(noise) if noise.exists() else None,
            robustness=Robustness.load(robustness) if robustness.exists() else None,
        )


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON file that holds an object; one that is missing is empty (FileError if it is broken)."""
    if not path.exists():
        return {}
    value = read_json(path)
    if not isinstance(value, dict):
        raise FileError(f"{path} holds no JSON object")
    return value


def is_number(value: Any) -> bool:
    """Whether a value of a log is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def _clips(folder: Path) -> list[Clip]:
    found = []
    for outcome in ("success", "failure"):
        paths = [folder / f"{outcome}{suffix}" for suffix in (".mp4", ".png")]
        found += [Clip(folder.name, outcome == "success", path) for path in paths if path.exists()][:1]
    return found
