"""Which priors can be steered: what can be measured before RL, against what RL makes of it.

    taskset -c 0 python benchmarks/steerability.py            # everything that steerability.csv lacks
    taskset -c 0 python benchmarks/steerability.py --tasks assembly

Priors differ in task, in what was wrong with the demonstrator, and in the number of demonstrations. Everything else is
the default: one seed, the same budget of steering. Success is over 256 held-out episodes; coverage is measured on
others.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rows import append_row, read_rows

from expertgen.demos.collect import CollectConfig
from expertgen.demos.imperfections import DEFAULT_IMPERFECTIONS, Imperfections
from expertgen.evaluation.rollouts import run_episodes
from expertgen.pipeline.run import run
from expertgen.pipeline.settings import EvaluationConfig, RunConfig
from expertgen.prior.prior import DiffusionPrior, PriorPolicy
from expertgen.runs.files import read_json
from expertgen.runs.machine import available_cores, prepare_process
from expertgen.runs.progress import drain
from expertgen.runs.seeding import torch_generator
from expertgen.tasks.registry import get_task, make_env

TABLE = Path(__file__).with_suffix(".csv")

KINDS = {
    "default": DEFAULT_IMPERFECTIONS,
    "calibration": Imperfections(calibration_error=0.03),
    "smooth-noise": Imperfections(actuation_noise=0.15, actuation_correlation=0.95),
    "gripper": Imperfections(gripper_opening=0.05, no_recovery=1.0),
}
"""What is wrong with the demonstrator."""

COUNTS = (10, 50, 200, 500)
"""Demonstrations, of the default demonstrator; the others give 128."""

COVERAGE_SEED, COVERAGE_STARTS, COVERAGE_DRAWS = 777, 64, 8


@dataclass(frozen=True)
class Options:
    """Which runs."""

    tasks: tuple[str, ...] = ("assembly", "peg-insert-side", "stick-pull", "box-close")
    """Task ids."""
    seed: int = 0
    """Seed of the runs."""
    runs: Path = Path("runs/steerability")
    """Where the run folders go."""
    table: Path = TABLE
    """The table that rows are added to."""


def coverage(task: str, prior: DiffusionPrior) -> float:
    """Share of starts from which at least one of eight episodes under N(0, I) noise succeeds."""
    won = np.zeros(COVERAGE_STARTS, bool)
    for draw in range(COVERAGE_DRAWS):
        policy = PriorPolicy(prior, torch_generator(COVERAGE_SEED, "coverage", draw))
        with closing(make_env(get_task(task), COVERAGE_STARTS, threads=available_cores())) as env:
            for episode in drain(run_episodes(env, policy, COVERAGE_STARTS, COVERAGE_SEED, "coverage")):
                won[episode.env] |= episode.success
    return float(won.mean())


def row(task: str, kind: str, count: int, seed: int, folder: Path) -> dict[str, object]:
    """Does one run and returns its row of the table."""
    demos = CollectConfig(episodes=count, num_envs=min(64, count), imperfections=KINDS[kind])
    config = RunConfig(task, seed, until="expert", demos=demos, evaluation=EvaluationConfig(films=False))
    results = drain(run(config, folder, f"python benchmarks/steerability.py --tasks {task} --seed {seed}"))
    measured = read_json(folder / "prior" / "steerability.json")
    return {
        "task": task,
        "kind": kind,
        "demonstrations": count,
        "seed": seed,
        "demos": results.stages["demos"].success,
        "prior": measured["success_normal"],
        "zero_noise": measured["success_zero"],
        "best_constant": measured["success_best_constant"],
        "chunk_spread": measured["chunk_spread"],
        "coverage": coverage(task, DiffusionPrior.load(folder / "prior" / "prior.safetensors")),
        "expert": results.stages["expert"].success,
        "expert_low": results.stages["expert"].low,
        "expert_high": results.stages["expert"].high,
        "env_steps": results.stages["expert"].env_steps,
    }


def main(options: Options) -> None:
    """Adds the missing rows to the table."""
    prepare_process()
    priors = [("default", count) for count in COUNTS] + [(kind, 128) for kind in KINDS if kind != "default"]
    done = {
        tuple(entry[name] for name in ("task", "kind", "demonstrations", "seed")) for entry in read_rows(options.table)
    }
    for kind, count in priors:
        for task in options.tasks:
            if (task, kind, str(count), str(options.seed)) not in done:
                folder = options.runs / f"{task}-{kind}-{count}-{options.seed}"
                append_row(options.table, row(task, kind, count, options.seed, folder))


if __name__ == "__main__":
    main(tyro.cli(Options))
