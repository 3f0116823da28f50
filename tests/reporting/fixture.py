"""A run folder as a real run leaves it, made up in a moment. `python -m tests.reporting.fixture FOLDER` writes one
to look at."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from expertgen.evaluation.evaluate import Evaluation
from expertgen.evaluation.results import Results
from expertgen.evaluation.statistics import wilson_interval
from expertgen.reporting.noise import NoisePicture
from expertgen.runs.files import write_json

COMMAND = "expertgen run peg-insert-side --seed 0 --out runs/peg-insert-side-0"

#          stage            successes, episodes, seconds, env steps, steps to success, jerk, dtw, saturation
_STAGES = {
    "demos": (43, 128, 11.2, 21_840, 104, 1.31, None, 0.31),
    "prior": (9, 256, 17.6, 0, 121, 0.62, 0.021, 0.18),
    "expert": (251, 256, 148.3, 214_307, 68, 0.71, 0.024, 0.22),
    "student": (247, 256, 71.9, 13_902, 70, 0.55, 0.024, 0.20),
    "zero_noise": (2, 256, 0.0, 0, 133, 0.41, 0.020, 0.12),
    "constant_noise": (38, 256, 21.0, 96_000, 96, 0.44, 0.026, 0.14),
    "bc_student": (236, 256, 58.0, 13_902, 71, 0.54, 0.024, 0.20),
    "blind_student": (26, 256, 44.0, 13_902, 83, 0.38, 0.041, 0.11),
}


def make_run(folder: Path, stages: tuple[str, ...] = tuple(_STAGES), seed: int = 0) -> Path:
    """Writes a run that got as far as `stages` and returns its folder."""
    rng = np.random.default_rng(seed)
    versions = {"python": "3.11.9", "expertgen": "0.1.0", "torch": "2.13.0", "envpool": "1.2.5", "mujoco": "3.3.7"}
    machine = {"cores": 2, "cpu": "AMD EPYC", "platform": "Linux-6.1-x86_64", "memory": "8 GB"}
    about = {"task": "peg-insert-side", "seed": seed, "command": COMMAND, "versions": versions, "machine": machine}
    write_json(folder / "run.json", about | {"started": "2026-11-22T14:31:05+00:00", "seconds": 402.0})
    write_json(folder / "config.json", {"prior": {"width": 128, "iterations": 6000}, "steer": {"noise_bound": 1.5}})
    evaluations = {name: _evaluation(*_STAGES[name]) for name in stages}
    notes = {"expert": "mean noise, chosen on validation seeds (100% against 97% for sampled noise)"}
    notes = {name: note for name, note in notes.items() if name in stages}
    if stages:
        Results("peg-insert-side", seed, COMMAND, evaluations, 1734.0, versions, notes).save(folder / "results.json")
    for name in stages:
        _episodes(folder / name, evaluations[name], rng)
    if "prior" in stages:
        steps = np.arange(100, 6001, 100)
        loss = 0.09 + 0.5 * np.exp(-steps / 700) + rng.normal(0, 0.006, len(steps))
        _metrics(folder / "prior", {"step": steps, "loss": loss})
        write_json(folder / "prior" / "steerability.json", {"chunk_spread": 0.214})
    if "expert" in stages:
        _steering(folder / "expert", rng)
    if "student" in stages:
        steps = np.arange(100, 900, 100)
        loss = 0.035 + 0.25 * np.exp(-steps / 260)
        alpha = np.linspace(1.0, 0.2, 8)
        success = np.clip(0.97 - 0.15 * (1 - alpha) * np.exp(-steps / 400) + rng.normal(0, 0.02, 8), 0, 1)
        _metrics(folder / "student", {"step": steps, "loss": loss, "alpha": alpha, "mixed_success": success})
    return folder


def _evaluation(successes, episodes, seconds, env_steps, steps, jerk, dtw, saturation) -> Evaluation:
    low, high = wilson_interval(successes, episodes)
    rest = (float(steps), jerk, dtw, saturation)
    return Evaluation(successes / episodes, low, high, episodes, (999,), seconds, env_steps, *rest)


def _episodes(folder: Path, evaluation: Evaluation, rng: np.random.Generator) -> None:
    failed = set(rng.choice(evaluation.episodes, round(evaluation.episodes * (1 - evaluation.success)), replace=False))
    rows = [
        {"env": i // 4, "index": i % 4, "success": i not in failed, "steps": 200 if i in failed else 70}
        for i in range(evaluation.episodes)
    ]
    write_json(folder / "episodes.json", {"seed": 999, "episodes": rows})


def _steering(folder: Path, rng: np.random.Generator) -> None:
    steps = np.arange(5_000, 214_308, 3_000)
    rise = 1 / (1 + np.exp(-(steps - 82_000) / 14_000))
    columns = {
        "step": steps,
        "seconds": steps / 1450.0,
        "success": np.clip(0.03 + 0.92 * rise + rng.normal(0, 0.025, len(steps)), 0, 1),
        "noise_norm": 0.86 + 0.2 * rise + rng.normal(0, 0.006, len(steps)),
        "q": 0.02 + 0.72 * rise + rng.normal(0, 0.015, len(steps)),
        "entropy": 0.3 - 0.32 * rise + rng.normal(0, 0.012, len(steps)),
        "temperature": 0.02 + 0.015 * rise,
        "critic_loss": 0.08 + 0.35 * rise * (1.2 - rise) + rng.normal(0, 0.012, len(steps)),
        "td_error": 0.02 + 0.11 * rise * (1.15 - rise) + rng.normal(0, 0.004, len(steps)),
    }
    _metrics(folder, columns)
    with (folder / "metrics.jsonl").open("a") as file:
        for step, mean, sampled in (
            (50_000, 0.06, 0.11),
            (100_000, 0.78, 0.86),
            (150_000, 0.95, 0.94),
            (214_307, 1.0, 0.97),
        ):
            row = {"step": step, "seconds": step / 1450 + 2, "validated_mean": mean, "validated_sampled": sampled}
            row |= {"episodes_mean": 128, "episodes_sampled": 128}
            file.write(json.dumps(row) + "\n")
    noise = rng.normal(0, 0.8, (900, 32)) + np.linspace(-0.9, 0.9, 32) * rng.choice([-0.4, 1.6], (900, 1))
    noise = np.clip(noise, -1.5, 1.5)
    NoisePicture.project(noise, rng.random(900) < 0.97, bound=1.5).save(folder / "noise.json")


def _metrics(folder: Path, columns: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    from expertgen.reporting.report import write_report

    print(write_report(make_run(Path(sys.argv[1]))))
