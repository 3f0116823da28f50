"""The kind `steer`: `expertgen run TASK --until expert`, from demonstrations to a steered expert."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Generator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from expertgen.errors import UsageError
from expertgen.evaluation.evaluate import Evaluation
from expertgen.evaluation.results import Results
from expertgen.pipeline import run as pipeline
from expertgen.pipeline.inputs import check_inputs
from expertgen.pipeline.settings import RunConfig, Stage, default_settings
from expertgen.presets import preset
from expertgen.runs.config import overlay, plain
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import StageProgress
from expertgen.suite.table import Motion, Point
from expertgen.tasks.registry import get_task


def resolve(settings: dict[str, Any], until: Stage = "expert") -> dict[str, Any]:
    """All settings of a run up to its expert; `preset` names those to start from.

    Args:
        settings: what differs from the defaults.
        until: the last stage.

    Raises:
        UsageError: for whatever `expertgen run` refuses, and for settings that leave nothing to steer.
    """
    for name in ("until", "expert_file"):
        if name in settings:
            raise UsageError(f"{name} has no place in a comparison: each run makes an expert of its own")
    changes = dict(settings)
    config = default_settings(str(changes["task"]))
    for group in (preset(str(changes.pop("preset", "default"))), {"until": until, "evaluation": {"films": False}}):
        config = overlay(config, group)
    config = overlay(config, {**changes, "task": config.task})
    if any((config.demos_file, config.program, config.prior_file)):
        check_inputs(config, get_task(config.task))
    else:
        _check_task(config.task)
    return plain(config)


@cache
def _check_task(task: str) -> None:
    """Refuses a task that cannot be simulated or demonstrated; once, because many members have the same."""
    check_inputs(RunConfig(task, until="expert"), get_task(task))


def run(settings: dict[str, Any], folder: Path, common: Path) -> Generator[StageProgress, None, Results]:
    """Does the run, or the stages that are left of it.

    Demonstrations and prior are made once for all members whose settings of them, and seed, are the same.
    """
    config = overlay(RunConfig(settings["task"]), settings)
    if not (config.prior_file or config.program):
        yield from _take_prior(config, folder, common)
    command = f"expertgen run {config.task} --seed {config.seed} --config {folder / 'config.json'}"
    return (yield from pipeline.run(config, folder, command))


def _take_prior(config: RunConfig, folder: Path, common: Path) -> Generator[StageProgress, None, None]:
    """Copies the stages up to the prior from the common folder, where whoever comes first makes them."""
    base = RunConfig(config.task, config.seed, config.device, until="prior", demos_file=config.demos_file)
    base = replace(base, demos=config.demos, prior=config.prior, evaluation=config.evaluation)
    digest = hashlib.sha256(json.dumps(plain(base), sort_keys=True).encode()).hexdigest()[:16]
    made = common / f"prior-{digest}"
    made.mkdir(parents=True, exist_ok=True)
    with (made / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets go of it when this process ends, however that happens
        yield from pipeline.run(base, made, f"expertgen prior {config.task} --seed {config.seed}")
    for part in made.iterdir():
        if part.is_dir() and not (folder / part.name).exists():
            half = folder / f".{part.name}"
            shutil.rmtree(half, ignore_errors=True)
            shutil.copytree(part, half)
            half.rename(folder / part.name)


def read(settings: dict[str, Any], folder: Path) -> list[Point]:
    """Success of training episodes, of validations (the better mode of each) and on the held-out episodes, and motion.

    Seconds and simulator steps are those of steering, with its validations; demonstrations and prior are left out.
    """
    points, rows, validating = [], read_metrics(folder / "expert"), 0
    for row in rows:
        modes = [key.removeprefix("validated_") for key in row if key.startswith("validated_")]
        validating = int(row.get("validation_env_steps", validating))
        at = (int(row["step"]) + validating, row["seconds"], "success")
        if modes:
            success, episodes = max((row[f"validated_{mode}"], int(row[f"episodes_{mode}"])) for mode in modes)
            points.append(Point("validation", *at, success, episodes))
        elif row.get("updates", 1):  # before the first one it is the prior's success, over few episodes
            points.append(Point("curve", *at, row["success"], None))
    stages = Results.load(folder / "results.json").stages
    expert = replace(stages["expert"], env_steps=stages["expert"].env_steps + validating)
    noise_norm = next((row["noise_norm"] for row in reversed(rows) if "noise_norm" in row), None)
    return [*points, *outcome(expert, stages["prior"], noise_norm)]


def outcome(stage: Evaluation, prior: Evaluation, noise_norm: float | None = None) -> list[Point]:
    """What a policy achieves on the held-out episodes, and how it moves there.

    Args:
        stage: the policy.
        prior: the prior of the same run.
        noise_norm: root mean square of the noise it chooses.
    """
    end = (stage.env_steps, stage.seconds)
    ratio = stage.jerk / prior.jerk if stage.jerk is not None and prior.jerk else None
    moves: list[tuple[Motion, float | None, int | None]] = [
        ("jerk", stage.jerk, stage.episodes),
        ("jerk_ratio", ratio, stage.episodes),
        ("dtw", stage.dtw, stage.episodes),
        ("saturation", stage.saturation, stage.episodes),
        ("noise_norm", noise_norm, None),
    ]
    motion = [Point("motion", *end, measure, value, number) for measure, value, number in moves if value is not None]
    return [Point("final", *end, "success", stage.success, stage.episodes), *motion]
