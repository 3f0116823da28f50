"""Speed and memory of the simulators, ours beside MetaWorld as it comes; writes simulation.csv beside this file.

Each row is measured in a process of its own. Run it on an idle machine with two cores:

    OMP_NUM_THREADS=1 python benchmarks/simulation.py        # about 2 minutes
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.registry import get_task, make_env

TASKS = ("peg-insert-side", "shelf-place")
ROWS = (("envpool", 1), ("envpool", 2), ("metaworld", 1), ("metaworld", 2), ("metaworld as it comes", 1))
CASES = (*((task, *row) for task in TASKS for row in ROWS), ("bimanual-insertion", "envpool", 1))
NUM_ENVS = 64
STEPS = 100
PLAIN_ENVS = 8
"""MetaWorld as it comes: enough to see the cost of one, few enough to fit into memory."""


def measure(task_name: str, simulator: str, threads: int) -> dict[str, float]:
    """Returns control steps per second, milliseconds per reset and per creation, and MB, per environment."""
    before = resident_mb()
    if simulator == "metaworld as it comes":
        return measure_plain(task_name, before)
    start = time.perf_counter()
    env = make_env(get_task(task_name), NUM_ENVS, threads=threads, simulator=simulator, allow_unsound=True)
    env.reset(seed=0)
    created = time.perf_counter() - start
    memory = resident_mb() - before
    reset = seconds(env.reset)
    rate = NUM_ENVS * STEPS / seconds(lambda: run(env))
    env.close()
    return row(rate, reset / NUM_ENVS, created / NUM_ENVS, memory / NUM_ENVS)


def measure_plain(task_name: str, before: float) -> dict[str, float]:
    """The same for MetaWorld's own environments, one model each and its own reset."""
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    def make() -> object:
        env = ALL_V3_ENVIRONMENTS[f"{task_name}-v3"]()
        env._partially_observable = False
        env.__dict__.pop("sawyer_observation_space", None)
        env._set_task_called, env._freeze_rand_vec, env.seeded_rand_vec = True, False, True
        env.reset()
        return env

    start = time.perf_counter()
    envs = [make() for _ in range(PLAIN_ENVS)]
    created = time.perf_counter() - start
    memory = resident_mb() - before
    reset = seconds(lambda: [env.reset() for env in envs])
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, PLAIN_ENVS, 4)).astype(np.float32)
    stepping = seconds(lambda: [env.step(a) for rows in actions for env, a in zip(envs, rows, strict=True)])
    return row(PLAIN_ENVS * STEPS / stepping, reset / PLAIN_ENVS, created / PLAIN_ENVS, memory / PLAIN_ENVS)


def row(rate: float, reset: float, created: float, memory: float) -> dict[str, float]:
    """Rounds to what means something."""
    return {
        "steps_per_second": round(rate),
        "reset_ms": round(1e3 * reset, 2),
        "create_and_first_reset_ms": round(1e3 * created, 1),
        "memory_mb": round(memory, 1),
    }


def run(env: TaskEnv) -> None:
    """Runs random actions."""
    shape = STEPS, env.num_envs, env.task.action_size
    for actions in np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32):
        env.step(actions)


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def resident_mb() -> float:
    """Resident memory of this process (not of its workers)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    """Measures every row in a process of its own and writes the file."""
    with Path(__file__).with_suffix(".csv").open("w", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for task, simulator, threads in CASES:
            command = [sys.executable, __file__, task, simulator, str(threads)]
            measured = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
            line = {"task": task, "simulator": simulator, "threads": threads, **measured}
            writer = writer or csv.DictWriter(file, line, lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(line)
            print(line, flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
