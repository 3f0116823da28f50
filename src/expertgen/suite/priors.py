"""The kind `prior`: `expertgen prior TASK`, what can be had from a prior before anything steers it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from expertgen.errors import UsageError, nearest
from expertgen.evaluation.results import Results
from expertgen.runs.progress import StageProgress
from expertgen.suite import steering
from expertgen.suite.table import Point

POLICIES = ("prior", "zero_noise", "constant_noise")
"""Which of a run's policies is compared: N(0, I) noise, none, or the best constant one."""


def resolve(settings: dict[str, Any]) -> dict[str, Any]:
    """All settings of a run up to its prior; `policy` says which of its policies is compared.

    Raises:
        UsageError: for whatever `expertgen prior` refuses, and for a policy that is not there.
    """
    rest = dict(settings)
    policy = rest.pop("policy", "prior")
    if policy not in POLICIES:
        near = nearest(str(policy), POLICIES)
        raise UsageError(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}{near}")
    resolved = steering.resolve(rest, until="prior")
    if policy == "constant_noise" and not resolved["evaluation"]["constant_noises"]:
        raise UsageError("policy constant_noise is left out by evaluation.constant_noises 0; try at least one")
    return {"policy": policy, **resolved}


def run(settings: dict[str, Any], folder: Path, common: Path) -> Generator[StageProgress, None, Results]:
    """Does the run, or takes from the common folder what is there."""
    rest = dict(settings)
    del rest["policy"]
    return steering.run(rest, folder, common)


def read(settings: dict[str, Any], folder: Path) -> list[Point]:
    """Success and motion on the held-out episodes; seconds and steps are those of the search for a constant noise."""
    stages = Results.load(folder / "results.json").stages
    stage = stages[settings["policy"]]
    if settings["policy"] != "constant_noise":
        stage = replace(stage, seconds=0.0)
    return steering.outcome(stage, stages["prior"])
