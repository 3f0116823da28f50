"""From imperfect demonstrations to an expert: success and time of every task and seed, on one core.

    taskset -c 0 python benchmarks/steering.py            # everything that steering.csv lacks
    taskset -c 0 python benchmarks/steering.py --tasks assembly --seeds 0

Every run collects its own demonstrations, trains its own prior and steers it, with the default settings. All rates are
over 256 held-out episodes; checkpoint and mode of the expert were chosen on other, validation seeds.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rows import append_row, plain_refusals, rates, read_rows

from expertgen.evaluation.results import Results
from expertgen.pipeline.run import run
from expertgen.pipeline.settings import EvaluationConfig, default_settings
from expertgen.runs.files import read_json
from expertgen.runs.machine import available_cores, prepare_process
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import StageProgress
from expertgen.steering.expert import Expert

TABLE = Path(__file__).with_suffix(".csv")
STEERING = ("steer", "validate (mean)", "validate (sampled)")


@dataclass(frozen=True)
class Options:
    """Which runs."""

    tasks: tuple[str, ...] = ("assembly", "peg-insert-side", "stick-pull", "box-close", "shelf-place")
    """Task ids."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the runs."""
    runs: Path = Path("runs/benchmark")
    """Where the run folders go."""
    table: Path = TABLE
    """The table that rows are added to."""


def cpu_seconds() -> float:
    """CPU seconds so far of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def clocked(loop: Generator[StageProgress, None, Results]) -> tuple[dict[str, float], Results]:
    """Drives a run; returns the CPU seconds of its stages (wall seconds, on a core of its own), and its results."""
    seconds: dict[str, float] = {}
    last = cpu_seconds()
    while True:
        try:
            progress = next(loop)
        except StopIteration as stop:
            return seconds, stop.value
        now = cpu_seconds()
        seconds[progress.stage] = seconds.get(progress.stage, 0.0) + now - last
        last = now


def row(task: str, seed: int, folder: Path) -> dict[str, object]:
    """Does one run and returns its row of the table."""
    evaluation = EvaluationConfig(constant_noises=0, films=False)
    config = replace(default_settings(task), seed=seed, until="expert", evaluation=evaluation)
    clock, results = clocked(run(config, folder, f"expertgen run {task} --seed {seed} --until expert"))
    demos, prior, expert = (results.stages[name] for name in ("demos", "prior", "expert"))
    last = [entry for entry in read_metrics(folder / "expert") if "updates" in entry][-1]
    return {
        "task": task,
        "seed": seed,
        "demos": demos.success,
        **rates(prior=prior, expert=expert),
        "mode": Expert.load(folder / "expert" / "expert.safetensors").mode,
        "steps_to_success": expert.steps_to_success,
        "env_steps": expert.env_steps,
        "updates": last["updates"],
        "demo_seconds": round(demos.seconds, 1),
        "prior_seconds": round(prior.seconds, 1),
        "steer_seconds": round(expert.seconds, 1),
        "steer_cpu_seconds": round(sum(clock.get(stage, 0.0) for stage in STEERING), 1),
        "cores": available_cores(),
        "cpu": read_json(folder / "run.json")["machine"]["cpu"],
    }


def main(options: Options) -> None:
    """Adds the missing rows to the table."""
    prepare_process()
    done = {(entry["task"], int(entry["seed"])) for entry in read_rows(options.table)}
    for seed in options.seeds:
        for task in options.tasks:
            if (task, seed) not in done:
                append_row(options.table, row(task, seed, options.runs / f"{task}-{seed}"))


if __name__ == "__main__":
    with plain_refusals():
        main(tyro.cli(Options))
