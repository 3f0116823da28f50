"""Why do an expert's two modes differ? Failures of the mean and of sampled noise, on the same starts.

    python benchmarks/modes.py

For every expert of `steering.py`: success of the mean and of samples on the same 256 starts; the share of failed
episodes that are stuck (in the last quarter of the time limit the hand stays within 2 cm); and, for samples, how often
a start that failed once fails again under other samples. A mode that repeats the same mistake is stuck or fails again;
a mode that is merely noisy does not. `validations.csv` has the success of both modes while they were learning.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rows import append_row, plain_refusals

from expertgen.evaluation.rollouts import Episode, run_episodes
from expertgen.evaluation.seeds import EVALUATION_SEED
from expertgen.rl.learner import Mode
from expertgen.runs.machine import available_cores, prepare_process
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from expertgen.steering.expert import Expert, ExpertPolicy
from expertgen.tasks.registry import get_task, make_env
from expertgen.tasks.spec import TaskSpec

TABLE = Path(__file__).with_suffix(".csv")
VALIDATIONS = TABLE.with_name("validations.csv")
STARTS = 256
STUCK_RANGE = 0.02


@dataclass(frozen=True)
class Options:
    """Which experts."""

    runs: Path = Path("runs/benchmark")
    """Where `steering.py` left its run folders."""


def play(task: TaskSpec, expert: Expert, mode: Mode, seed: int) -> list[Episode]:
    """Plays one episode from each of the starts; only the samples depend on the seed."""
    episodes = []
    with closing(make_env(task, 64, threads=available_cores())) as env:
        for block in range(STARTS // 64):
            policy = ExpertPolicy(expert, seed + 1000 * block, mode)
            episodes += drain(run_episodes(env, policy, 64, EVALUATION_SEED + block))
    return episodes


def stuck(task: TaskSpec, episodes: list[Episode]) -> float:
    """Share of the failed episodes whose hand hardly moves in the last quarter of the time limit."""
    name = "hand_position" if any(f.name == "hand_position" for f in task.fields) else "palm_position"
    columns = task.field(name).columns
    tails = [e.observations[-task.horizon // 4 :, columns] for e in episodes if not e.success]
    return float(np.mean([np.ptp(tail, axis=0).max() < STUCK_RANGE for tail in tails])) if tails else float("nan")


def validations(runs: Path) -> None:
    """Writes what both modes reached at every validation of every run."""
    VALIDATIONS.unlink(missing_ok=True)
    for folder in sorted(runs.glob("*/expert")):
        for entry in read_metrics(folder):
            if "validated_mean" in entry:
                both = {"mean": entry["validated_mean"], "sampled": entry["validated_sampled"]}
                append_row(VALIDATIONS, {"run": folder.parent.name, "env_steps": entry["step"], **both})


def main(options: Options) -> None:
    """Writes both tables."""
    prepare_process()
    validations(options.runs)
    TABLE.unlink(missing_ok=True)
    for path in sorted(options.runs.glob("*/expert/expert.safetensors")):
        if (path.parent / "state.safetensors").exists():
            continue  # still learning
        expert = Expert.load(path)
        task = get_task(expert.prior.task)
        mean = play(task, expert, "mean", 0)
        first, second = (play(task, expert, "sampled", seed) for seed in (0, 1))
        failed = np.array([not e.success for e in first])
        again = np.array([not e.success for e in second])
        mean_failed = np.array([not e.success for e in mean])
        append_row(
            TABLE,
            {
                "run": path.parts[-3],
                "mean": 1 - mean_failed.mean(),
                "sampled": 1 - failed.mean(),
                "mean_stuck": stuck(task, mean),
                "sampled_stuck": stuck(task, first),
                "sampled_fails_again": again[failed].mean() if failed.any() else float("nan"),
                "sampled_fails": again.mean(),
                "sampled_fails_where_mean_fails": again[mean_failed].mean() if mean_failed.any() else float("nan"),
                "mean_steps": np.mean([e.steps for e in mean if e.success]),
                "sampled_steps": np.mean([e.steps for e in first if e.success]),
            },
        )


if __name__ == "__main__":
    with plain_refusals():
        main(tyro.cli(Options))
