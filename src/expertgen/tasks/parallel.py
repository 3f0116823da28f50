"""Any environment over several processes: where EnvPool is unsound, Python simulators run on all cores."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from expertgen.errors import ExpertgenError, UsageError
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.episodes import Episodes, StepResult
from expertgen.tasks.spec import TaskSpec

_RESET, _STEP, _CLOSE = b"R", b"S", b"C"
_OK, _ERROR = b"+", b"!"
_NO_SEED = -1


class WorkerError(ExpertgenError):
    """A worker process failed or died; the text says how."""


class ParallelEnv(TaskEnv):
    """`N` environments in worker processes, each with a contiguous share of them.

    Environment `i` is seeded as if all were in one process, so that the results do not depend on the number of workers.
    Only plain bytes of arrays travel between the processes. A worker ends when its parent does, however that ends.

    Workers are new interpreters that import `make`: a script that uses this class needs the usual
    `if __name__ == "__main__":` guard.

    Args:
        task: what is being done.
        make: makes `n` environments, the first of which has the index `first_index`; a class such as `MetaWorldEnv` or
            another importable callable `(task, n, first_index) -> TaskEnv`.
        num_envs: number of environments `N`.
        workers: number of processes, at most `num_envs` of which are started.

    Raises:
        UsageError: from a worker, if the environments cannot be made.
        WorkerError: if a worker fails or dies.
    """

    def __init__(
        self, task: TaskSpec, make: Callable[[TaskSpec, int, int], TaskEnv], num_envs: int, workers: int
    ) -> None:
        super().__init__(task, num_envs)
        self._episodes = Episodes(task, num_envs)
        self._shares = [share for share in np.array_split(np.arange(num_envs), workers) if len(share)]
        self._pipes: list[Connection] = []
        self._processes = []
        context = multiprocessing.get_context("spawn")
        for share in self._shares:
            ours, theirs = context.Pipe()
            arguments = (theirs, task, make, len(share), int(share[0]))
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        for worker in range(len(self._shares)):
            self._receive(worker)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts new episodes; see `TaskEnv.reset`. Without a seed, the first reset takes one from the system."""
        ids = self._episodes.to_reset(seed, options)
        if seed is None and not self._episodes.begun:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        mask = np.zeros(self.num_envs, bool)
        mask[ids] = True
        head = np.array([_NO_SEED if seed is None else seed], np.int64).tobytes()
        touched = [worker for worker, share in enumerate(self._shares) if mask[share].any()]
        for worker in touched:
            self._send(worker, _RESET + head + mask[self._shares[worker]].tobytes())
        for worker in touched:
            share = self._shares[worker]
            observation = np.frombuffer(self._receive(worker), np.float32).reshape(len(share), -1)
            self._episodes.begin(share[mask[share]], observation[mask[share]])
        return self._episodes.reset_result()

    def step(self, actions: np.ndarray) -> StepResult:
        """Runs one control step in every environment whose episode has not ended; see `TaskEnv.step`."""
        running = self._episodes.running()
        self._episodes.actions(actions, running)  # refuses bad actions here, where the message reaches the user
        actions = np.ascontiguousarray(actions, np.float32)
        is_running = np.isin(np.arange(self.num_envs), running)
        touched = [worker for worker, share in enumerate(self._shares) if is_running[share].any()]
        for worker in touched:
            self._send(worker, _STEP + actions[self._shares[worker]].tobytes())
        for worker in touched:
            share, received = self._shares[worker], self._receive(worker)
            now = is_running[share]
            observation, reward, terminated, success = _unpack(received, len(share), self.task.observation_size)
            failure = terminated & ~success
            self._episodes.record(share[now], observation[now], reward[now], success[now], failure[now])
        return self._episodes.step_result()

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the workers."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            with suppress(OSError):  # it may be gone already
                pipe.send_bytes(_CLOSE)
            pipe.close()
            process.join()

    def _send(self, worker: int, message: bytes) -> None:
        try:
            self._pipes[worker].send_bytes(message)
        except OSError as error:
            raise self._death(worker) from error

    def _receive(self, worker: int) -> bytes:
        try:
            message = self._pipes[worker].recv_bytes()
        except (EOFError, OSError) as error:
            raise self._death(worker) from error
        if message[:1] == _ERROR:
            kind, _, text = message[1:].decode().partition(":")
            self.close()
            raise UsageError(text) if kind == "usage" else WorkerError(f"simulation worker {worker} failed: {text}")
        return message[1:]

    def _death(self, worker: int) -> WorkerError:
        process = self._processes[worker]
        process.join(timeout=5.0)
        return WorkerError(
            f"simulation worker {worker} (process {process.pid}) died with exit code {process.exitcode}; "
            "a negative code is a signal, -9 often means that memory ran out"
        )


def _work(
    pipe: Connection, task: TaskSpec, make: Callable[[TaskSpec, int, int], TaskEnv], num_envs: int, first_index: int
) -> None:
    """The life of a worker: makes its environments, then answers messages until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes the pipe
    try:
        env = make(task, num_envs, first_index)
        pipe.send_bytes(_OK)
        while True:
            message = pipe.recv_bytes()
            if message == _CLOSE:
                return
            pipe.send_bytes(_OK + _answer(env, message))
    except (EOFError, BrokenPipeError):  # the parent is gone: end in silence
        return
    except UsageError as error:
        pipe.send_bytes(_ERROR + f"usage:{error}".encode())
    except Exception as error:  # whatever a simulator raises must reach the parent as one line
        pipe.send_bytes(_ERROR + f"other:{type(error).__name__}: {error}".encode())


def _answer(env: TaskEnv, message: bytes) -> bytes:
    if message[:1] == _RESET:
        seed = int(np.frombuffer(message, np.int64, count=1, offset=1)[0])
        mask = np.frombuffer(message, bool, offset=9)
        observation, _ = env.reset(seed=seed) if seed != _NO_SEED else env.reset(options={"reset_mask": mask})
        return observation.tobytes()
    actions = np.frombuffer(message, np.float32, offset=1).reshape(env.num_envs, -1)
    observation, reward, terminated, _, info = env.step(actions)
    arrays = (observation, reward.astype(np.float32), terminated.astype(bool), info["success"].astype(bool))
    return b"".join(array.tobytes() for array in arrays)


def _unpack(message: bytes, count: int, observation_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    observation = np.frombuffer(message, np.float32, count * observation_size).reshape(count, -1)
    reward = np.frombuffer(message, np.float32, count, observation.nbytes)
    terminated = np.frombuffer(message, bool, count, observation.nbytes + reward.nbytes)
    success = np.frombuffer(message, bool, count, observation.nbytes + reward.nbytes + count)
    return observation, reward, terminated, success
