"""From imperfect demonstrations to an expert: success and time of every task and seed, on one core.

    taskset -c 0 python benchmarks/steering.py            # everything that steering.csv lacks
    taskset -c 0 python benchmarks/steering.py --tasks assembly --seeds 0

Every run collects its own demonstrations, trains its own prior and steers it, with the default settings. All rates are
over 256 held-out episodes; checkpoint and mode of the expert were chosen on other, validation seeds.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import tyro

from expertgen.pipeline import EvaluationConfig, RunConfig, run
from expertgen.runs.files import read_json
from expertgen.runs.machine import available_cores, prepare_process
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from expertgen.steering.expert import Expert


@dataclass(frozen=True)
class Options:
    """Which runs."""

    tasks: tuple[str, ...] = ("assembly", "peg-insert-side", "stick-pull", "box-close", "shelf-place")
    """Task ids."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the runs."""
    runs: Path = Path("runs/benchmark")
    """Where the run folders go."""
    table: Path = Path(__file__).with_suffix(".csv")
    """The table that rows are added to."""


def row(task: str, seed: int, folder: Path) -> dict[str, object]:
    """Does one run and returns its row of the table."""
    config = RunConfig(task, seed=seed, until="expert", evaluation=EvaluationConfig(constant_noises=0, films=False))
    results = drain(run(config, folder, f"expertgen run {task} --seed {seed} --until expert"))
    demos, prior, expert = (results.stages[name] for name in ("demos", "prior", "expert"))
    last = [entry for entry in read_metrics(folder / "expert") if "updates" in entry][-1]
    return {
        "task": task,
        "seed": seed,
        "demos": demos.success,
        "prior": prior.success,
        "prior_low": prior.low,
        "prior_high": prior.high,
        "expert": expert.success,
        "expert_low": expert.low,
        "expert_high": expert.high,
        "mode": Expert.load(folder / "expert" / "expert.safetensors").mode,
        "steps_to_success": expert.steps_to_success,
        "env_steps": expert.env_steps,
        "updates": last["updates"],
        "demo_seconds": round(demos.seconds, 1),
        "prior_seconds": round(prior.seconds, 1),
        "steer_seconds": round(expert.seconds, 1),
        "cores": available_cores(),
        "cpu": read_json(folder / "run.json")["machine"]["cpu"],
    }


def main(options: Options) -> None:
    """Adds the missing rows to the table."""
    prepare_process()
    table = options.table
    rows = list(csv.DictReader(table.open())) if table.exists() else []
    done = {(entry["task"], int(entry["seed"])) for entry in rows}
    for seed in options.seeds:
        for task in options.tasks:
            if (task, seed) in done:
                continue
            rows.append(row(task, seed, options.runs / f"{task}-{seed}"))
            print(rows[-1], flush=True)
            with table.open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=list(rows[-1]))
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    main(tyro.cli(Options))
