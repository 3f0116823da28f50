"""Environments over processes: the same bits as in one, and errors, deaths and orphans handled."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.tasks.conformance import check_environment
from expertgen.tasks.gymnasium_env import GymnasiumEnv
from expertgen.tasks.parallel import ParallelEnv, WorkerError
from expertgen.tasks.spec import TaskSpec

# Workers import this module: it leaves slow imports (torch, EnvPool) alone.
TASK = TaskSpec(
    id="reacher",
    simulator="gymnasium",
    simulator_id="Reacher-v5",
    description="Bring the finger to the target.",
    success="",
    observation_size=10,
    action_names=("shoulder", "elbow"),
    action_unit="1 N m",
    control_rate=50.0,
    horizon=6,
)


def play(env, seed=0):
    rng = np.random.default_rng(0)
    size = (env.num_envs, env.task.action_size)
    played = [env.reset(seed=seed)[0]]
    for _ in range(4):
        played += env.step(rng.uniform(-1, 1, size).astype(np.float32))[:4]
    mask = np.arange(env.num_envs) % 2 == 1
    played.append(env.reset(options={"reset_mask": mask})[0])
    for _ in range(4):
        played += env.step(rng.uniform(-1, 1, size).astype(np.float32))[:4]
    env.close()
    return played


def test_the_number_of_workers_changes_no_bit():
    alone = play(GymnasiumEnv(TASK, 3))
    for workers in (2, 5):
        shared = play(ParallelEnv(TASK, GymnasiumEnv, 3, workers))
        assert all(np.array_equal(a, b) for a, b in zip(alone, shared, strict=True))


def test_conforms():
    check_environment(lambda: ParallelEnv(TASK, GymnasiumEnv, 3, 2))


def test_threads_of_a_python_simulator_are_workers():
    from expertgen.tasks.registry import make_env

    with_workers = make_env(TASK, 2, threads=2)
    assert isinstance(with_workers, ParallelEnv)
    with_workers.close()
    assert isinstance(make_env(TASK, 2, threads=1), GymnasiumEnv)


def test_a_usage_error_of_a_worker_is_a_usage_error():
    with pytest.raises(UsageError, match="names 3 actions, the simulator takes"):
        ParallelEnv(replace(TASK, action_names=("a", "b", "c")), GymnasiumEnv, 2, 2)


def failing(task, num_envs, first_index):
    if first_index:
        raise RuntimeError("no such joint")
    return GymnasiumEnv(task, num_envs, first_index)


def test_any_other_error_of_a_worker_is_one_line():
    with pytest.raises(WorkerError, match=r"^simulation worker 1 failed: RuntimeError: no such joint$"):
        ParallelEnv(TASK, failing, 2, 2)


def test_a_killed_worker_is_named():
    env = ParallelEnv(TASK, GymnasiumEnv, 2, 2)
    env.reset(seed=0)
    os.kill(env._processes[1].pid, signal.SIGKILL)
    env._processes[1].join()
    with pytest.raises(WorkerError, match=r"simulation worker 1 \(process \d+\) died with exit code -9"):
        env.step(np.zeros((2, 2), np.float32))
    env.close()


ORPHAN_MAKER = """
import os, signal, numpy as np
from expertgen.tasks.parallel import ParallelEnv
from tests.tasks.test_parallel import TASK, GymnasiumEnv
if __name__ == "__main__":
    env = ParallelEnv(TASK, GymnasiumEnv, 2, 2)
    env.reset(seed=0)
    print(*(process.pid for process in env._processes), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_die_with_their_parent(tmp_path):
    script = tmp_path / "orphan_maker.py"
    script.write_text(ORPHAN_MAKER)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, timeout=120)
    assert run.returncode == -signal.SIGKILL, run.stderr
    workers = [int(pid) for pid in run.stdout.split()]
    assert len(workers) == 2
    for _ in range(200):
        if not any(alive(pid) for pid in workers):
            return
        time.sleep(0.05)
    pytest.fail("a worker outlived its parent")


def alive(pid):
    """Whether a process runs (a zombie that nobody has waited for does not)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
