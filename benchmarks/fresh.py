"""Were the defaults fitted to the held-out episodes? The same policies on starts that nobody has looked at.

    python benchmarks/fresh.py

Some default settings were chosen after looking at results on the evaluation seed. This plays the policies that
`steering.py` and `students.py` left behind on another seed: 256 episodes each, students with perfect cameras.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rows import append_row, plain_refusals, read_rows

from expertgen.distillation.student import Student, StudentPolicy, make_student_env
from expertgen.evaluation.policy import Policy
from expertgen.evaluation.rollouts import run_episodes
from expertgen.runs.machine import available_cores, prepare_process
from expertgen.runs.progress import drain
from expertgen.steering.expert import Expert, ExpertPolicy
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.registry import get_task, make_env

TABLE = Path(__file__).with_suffix(".csv")
EPISODES, FRESH_SEED = 256, 271828


@dataclass(frozen=True)
class Options:
    """Which runs."""

    tasks: tuple[str, ...] = ("assembly", "peg-insert-side", "stick-pull", "box-close", "shelf-place")
    """Task ids."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the runs."""
    runs: Path = Path("runs/benchmark")
    """Where `steering.py` left its run folders."""


def success(env: TaskEnv, policy: Policy) -> float:
    """Success on the fresh episodes."""
    return float(np.mean([e.success for e in drain(run_episodes(env, policy, EPISODES, FRESH_SEED))]))


def row(name: str, seed: int, runs: Path) -> dict[str, object]:
    """Plays one expert, and its student and the expert in the student's simulator where there is a student."""
    task, folder = get_task(name), runs / f"{name}-{seed}"
    expert = ExpertPolicy(Expert.load(folder / "expert" / "expert.safetensors"), seed)
    with closing(make_env(task, 64, threads=available_cores())) as env:
        found: dict[str, object] = {"expert": success(env, expert), "teacher": "", "student": ""}
    path = folder / "students" / "points" / "student.safetensors"
    if path.exists():
        with closing(make_student_env(task, 64)) as env:
            found |= {"teacher": success(env, expert)}
            found |= {"student": success(env, StudentPolicy(Student.load(path), env, seed=seed))}
    return {"task": name, "seed": seed, "env_seed": FRESH_SEED, "episodes": EPISODES, **found}


def main(options: Options) -> None:
    """Adds the missing rows to the table."""
    prepare_process()
    done = {(entry["task"], int(entry["seed"])) for entry in read_rows(TABLE)}
    for task in options.tasks:
        for seed in options.seeds:
            if (task, seed) not in done:
                append_row(TABLE, row(task, seed, options.runs))


if __name__ == "__main__":
    with plain_refusals():
        main(tyro.cli(Options))
