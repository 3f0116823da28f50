"""From experts to camera students: success of every task, seed and kind of student, on one core.

    taskset -c 1 python benchmarks/students.py                      # the default student on all tasks and seeds
    taskset -c 1 python benchmarks/students.py --kinds points bc blind --seeds 0
    taskset -c 1 python benchmarks/students.py --kinds few few-bc --tasks box-close stick-pull
    taskset -c 1 python benchmarks/students.py --kinds points depth --seeds 0 --table benchmarks/depth.csv

The experts are those of `steering.py`. Teacher and students play the same 256 held-out episodes in Python MetaWorld;
every student with perfect cameras, with camera errors stronger than in training, and from starts that random chunks
perturb.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from rows import append_row, plain_refusals, read_rows

from expertgen.distillation.dagger import DistillConfig, distill
from expertgen.distillation.student import Student, StudentPolicy, make_student_env
from expertgen.evaluation.policy import Policy
from expertgen.evaluation.rollouts import run_episodes
from expertgen.evaluation.seeds import EVALUATION_SEED
from expertgen.evaluation.statistics import wilson_interval
from expertgen.runs.files import read_json, write_json
from expertgen.runs.machine import available_cores, prepare_process
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain, timed
from expertgen.steering.expert import Expert, ExpertPolicy
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task
from expertgen.tasks.spec import TaskSpec
from expertgen.vision.randomize import CameraRandomization

TABLE = Path(__file__).with_suffix(".csv")
EPISODES = 256

DEFAULT = DistillConfig()
SHORT = replace(DEFAULT, iterations=8, final_iterations=7)
FEW = replace(SHORT, decisions=64, num_envs=4)
KINDS = {
    "points": DEFAULT,
    "bc": replace(DEFAULT, alpha_end=1.0),
    "depth": replace(DEFAULT, sight="depth"),
    "blind": replace(DEFAULT, sight="blind"),
    "few": FEW,
    "few-bc": replace(FEW, alpha_end=1.0),
    "perfect-cameras": replace(DEFAULT, randomization=CameraRandomization()),
}
"""Name → how that student is distilled; the `bc` ones have as many expert decisions and updates as their neighbours."""

HARD = CameraRandomization(position=0.03, rotation=3.0, depth_noise=0.005, point_dropout=0.2)
"""Camera errors of the test: 3 cm, 3 degrees, 5 mm, one point in five missing (of images: one pixel in five)."""
HARD_IMAGES = replace(HARD, point_dropout=0.0, pixel_dropout=0.2)

PERTURBED_DECISIONS = 3
"""Of an episode from a perturbed start, this many chunks are random before the policy takes over."""


class Perturbed:
    """A policy whose episodes begin with random chunks, which are the same for every policy.

    Args:
        policy: who acts afterwards.
        task: the task.
        num_envs: environments of the evaluation.
    """

    def __init__(self, policy: Policy, task: TaskSpec, num_envs: int) -> None:
        self.policy, self.chunk_length = policy, policy.chunk_length
        self.action_size = task.action_size
        self.decisions = np.zeros(num_envs, np.int64)
        self.random = [np.random.default_rng([7, env]) for env in range(num_envs)]

    def reset(self, ids: np.ndarray) -> None:
        """New episodes begin."""
        self.decisions[ids] = 0
        self.policy.reset(ids)

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """One direction for a whole chunk at first, the policy's chunks then."""
        chunk = self.policy.plan(observation, ids).copy()
        for row, env in enumerate(ids):
            if self.decisions[env] < PERTURBED_DECISIONS:
                chunk[row] = self.random[env].uniform(-1, 1, self.action_size)
        self.decisions[ids] += 1
        return chunk


@dataclass(frozen=True)
class Options:
    """Which students."""

    tasks: tuple[str, ...] = ("assembly", "peg-insert-side", "stick-pull", "box-close")
    """Task ids."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the runs."""
    kinds: tuple[str, ...] = ("points",)
    """Kinds of students."""
    runs: Path = Path("runs/benchmark")
    """Where `steering.py` left its run folders."""
    table: Path = TABLE
    """The table that rows are added to."""


def success(env: MetaWorldEnv, policy: Policy) -> tuple[float, float, float]:
    """Success on the held-out episodes, with its Wilson interval."""
    episodes = drain(run_episodes(env, policy, EPISODES, EVALUATION_SEED))
    count = sum(episode.success for episode in episodes)
    return count / EPISODES, *wilson_interval(count, EPISODES)


def row(name: str, seed: int, kind: str, runs: Path) -> dict[str, object]:
    """Distils and evaluates one student; the teacher is evaluated once."""
    task, folder = get_task(name), runs / f"{name}-{seed}"
    expert = Expert.load(folder / "expert" / "expert.safetensors")
    student_folder = folder / "students" / kind
    loop = distill(task, lambda teacher_seed: ExpertPolicy(expert, teacher_seed), KINDS[kind], seed, student_folder)
    student: Student
    start = time.process_time()
    student, seconds = drain(timed(loop, student_folder / "seconds.json"))
    cpu_seconds = time.process_time() - start
    env = make_student_env(task, 64)
    teacher_path = folder / "students" / "teacher.json"
    if not teacher_path.exists():
        policies = ExpertPolicy(expert, seed), Perturbed(ExpertPolicy(expert, seed), task, env.num_envs)
        write_json(teacher_path, [success(env, policy)[0] for policy in policies])
    teacher, teacher_perturbed = read_json(teacher_path)
    clean = success(env, StudentPolicy(student, env, seed=seed))
    errors = HARD_IMAGES if student.spec.sight == "depth" else HARD
    hard = success(env, StudentPolicy(student, env, errors, seed=seed))
    perturbed = success(env, Perturbed(StudentPolicy(student, env, seed=seed), task, env.num_envs))
    last = read_metrics(student_folder)[-1]
    return {
        "task": name,
        "seed": seed,
        "kind": kind,
        "teacher": teacher,
        "student": clean[0],
        "low": clean[1],
        "high": clean[2],
        "hard": hard[0],
        "hard_low": hard[1],
        "hard_high": hard[2],
        "perturbed_teacher": teacher_perturbed,
        "perturbed": perturbed[0],
        "perturbed_low": perturbed[1],
        "perturbed_high": perturbed[2],
        "decisions": last["decisions"],
        "updates": last["step"],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "cores": available_cores(),
    }


def main(options: Options) -> None:
    """Adds the missing rows to the table."""
    prepare_process()
    done = {(entry["task"], int(entry["seed"]), entry["kind"]) for entry in read_rows(options.table)}
    for kind in options.kinds:
        for seed in options.seeds:
            for task in options.tasks:
                if (task, seed, kind) not in done:
                    append_row(options.table, row(task, seed, kind, options.runs))


if __name__ == "__main__":
    with plain_refusals():
        main(tyro.cli(Options))
