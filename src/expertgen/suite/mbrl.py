"""The kind `mbrl`: `expertgen mbrl TASK`, a backbone whose world model learns from weighted data."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from expertgen.mbrl.run import default_settings, run_mbrl
from expertgen.runs.config import overlay, plain
from expertgen.runs.files import read_json
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import StageProgress
from expertgen.suite.table import Point


def resolve(settings: dict[str, Any]) -> dict[str, Any]:
    """All settings of a run.

    Raises:
        UsageError: for whatever `expertgen mbrl` refuses.
    """
    return plain(overlay(default_settings(str(settings["task"])), settings))


def run(settings: dict[str, Any], folder: Path, common: Path) -> Generator[StageProgress, None, dict[str, Any]]:
    """Does the run, or the epochs that are left of it; there is nothing that members could have in common."""
    config = overlay(default_settings(settings["task"]), settings)
    command = f"expertgen mbrl {config.task} --config {folder / 'config.json'}"
    return run_mbrl(config, folder, command)


def read(settings: dict[str, Any], folder: Path) -> list[Point]:
    """Mean return of the evaluation after each epoch, and on the held-out start states."""
    episodes = settings["mbpo"]["evaluation_episodes"]
    points = [
        Point("curve", int(row["step"]), row["seconds"], "return", row["return"], episodes)
        for row in read_metrics(folder)
        if "return" in row
    ]
    results = read_json(folder / "results.json")
    last = (results["env_steps"], results["seconds"], "return", results["return"], results["episodes"])
    return [*points, Point("final", *last)]
