"""What policies bear, and what training under a disturbance buys: prior, residual RL, experts, disturbed alike.

    taskset -c 0 python benchmarks/robustness.py

Per task and seed there are three runs. "steer" and "residual" start from the same demonstrations and prior, with
default settings. "steer-forced" is trained for forced openings of the gripper: they happen in its training episodes
(`--steer.perturbations gripper_open`), and its demonstrator loses hold now and then, and grasps again
(`--demos.imperfections.gripper-opening 0.02`). Every policy plays the same 256 held-out episodes, undisturbed and under
three strengths of each perturbation. Recovery is the share of the episodes won undisturbed that are still won.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rows import append_row, read_rows

from expertgen.pipeline.robustness import measure_robustness
from expertgen.pipeline.run import run
from expertgen.pipeline.settings import EvaluationConfig, RunConfig, default_settings
from expertgen.runs.machine import prepare_process
from expertgen.runs.progress import drain

TABLE = Path(__file__).with_suffix(".csv")
EPISODES = 256
RUNS = ("steer", "residual", "steer-forced")


@dataclass(frozen=True)
class Options:
    """Which runs."""

    tasks: tuple[str, ...] = ("peg-insert-side", "stick-pull", "assembly")
    """Task ids."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the runs."""
    folder: Path = Path("runs/robustness")
    """Where the run folders go."""


def settings(name: str, task: str, seed: int, folder: Path) -> RunConfig:
    """Settings of a run; those that share demonstrations and a prior take them from the one that is called "steer"."""
    config = replace(
        default_settings(task), seed=seed, until="expert", evaluation=EvaluationConfig(constant_noises=0, films=False)
    )
    if name == "steer-forced":
        careless = replace(config.demos.imperfections, gripper_opening=0.02)
        steer = replace(config.steer, perturbations=("gripper_open",))
        return replace(config, demos=replace(config.demos, imperfections=careless), steer=steer)
    if name == "residual":
        first = folder.with_name(f"{task}-steer-{seed}")
        files = {"demos_file": first / "demos" / "demos.h5", "prior_file": first / "prior" / "prior.safetensors"}
        return replace(config, method="residual", **files)
    return config


def measure(name: str, task: str, seed: int, options: Options) -> None:
    """Does one run, disturbs its policies, and adds a row to the table for each trial."""
    folder = options.folder / f"{task}-{name}-{seed}"
    drain(run(settings(name, task, seed, folder), folder, "python benchmarks/robustness.py"))
    policies = ("expert",) if name == "residual" else ("prior", "expert")
    found = drain(measure_robustness(folder, EPISODES, policies=policies))
    for trial in found.trials:
        recovery = found.recovery(trial)
        append_row(
            TABLE,
            {
                "task": task,
                "run": name,
                "seed": seed,
                "policy": trial.policy,
                "perturbation": trial.perturbation,
                "strength": trial.strength,
                "success": trial.success.value,
                "low": trial.success.low,
                "high": trial.success.high,
                "recovery": recovery.value if recovery else "",
                "recovery_low": recovery.low if recovery else "",
                "recovery_high": recovery.high if recovery else "",
                "undisturbed_successes": recovery.of if recovery else "",
            },
        )


def main(options: Options) -> None:
    """Adds the missing rows to the table."""
    prepare_process()
    done = {(row["task"], row["run"], int(row["seed"])) for row in read_rows(TABLE)}
    for seed in options.seeds:
        for task in options.tasks:
            for name in RUNS:
                if (task, name, seed) not in done:
                    measure(name, task, seed, options)


if __name__ == "__main__":
    main(tyro.cli(Options))
