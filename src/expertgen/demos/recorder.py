"""Episodes by a person: begin, step, keep, drop and redo, saved as they come; no pictures and no network in here.

Two files. Kept episodes are appended to the demonstrations, each with one atomic write. The episode at hand, which
nobody has kept yet, is in a file beside them, itself a set of one demonstration. Simulation is deterministic, so after
a crash its actions bring the simulator back to where it was.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Literal

import numpy as np

from expertgen.demos.store import Demo, DemoSet, fields_of
from expertgen.errors import FileError, UsageError
from expertgen.tasks.environment import TaskEnv

Phase = Literal["ready", "running", "ended"]
"""An episode that waits for its first step, that is under way, or that waits to be kept or dropped."""


class Recorder:
    """Records the episodes of one person in one environment.

    Every start has a seed of its own: `seed`, `seed + 1`, ..., but for those that the file has already.

    Args:
        env: a single environment (`num_envs` is 1).
        path: demonstrations to append to; made with the first episode that is kept.
        source: who demonstrates, as it will stand in the file.
        seed: seed of the first start.

    Attributes:
        path: the demonstrations.
        unfinished: the file of the episode at hand.
        phase: what the episode at hand is doing.
        success: whether it has succeeded.
        seed: the seed of its start.
        observation: float32 `[D]`, the present one.
        recovered: control steps that were brought back after a crash, else 0.

    Raises:
        FileError: if one of the two files cannot be used.
        UsageError: if the demonstrations are of another task, or somebody else is writing to them.
    """

    def __init__(self, env: TaskEnv, path: Path, source: str, seed: int = 0) -> None:
        if env.num_envs != 1:
            raise UsageError(f"a person steers one environment, not {env.num_envs}")
        if seed < 0:
            raise UsageError(f"seed must not be negative, got {seed}")
        self.path = path
        self.unfinished = path.with_suffix(".unfinished.h5")
        self.recovered = 0
        self._env, self._source, self._first_seed = env, source, seed
        self._kept: DemoSet | None = None
        self._dropped: set[int] = set()
        self._lock = _locked(path)
        try:
            self._open()
        except UsageError:
            _release(self._lock)
            raise

    @property
    def steps(self) -> int:
        """Control steps of the episode at hand."""
        return len(self._actions)

    @property
    def kept(self) -> int:
        """Number of demonstrations in the file."""
        return len(self._kept) if self._kept else 0

    @property
    def successes(self) -> int:
        """Number of those that succeed."""
        return self._kept.successes if self._kept else 0

    def step(self, action: np.ndarray) -> None:
        """Runs one control step, unless the episode has ended; the first one begins it.

        Args:
            action: `[A]`, clipped to [-1, 1].
        """
        if self.phase == "ended":
            return
        action = np.clip(np.asarray(action, np.float32), -1.0, 1.0)
        observation, reward, terminated, truncated, info = self._env.step(action[None])
        self._observations.append(self.observation)
        self._actions.append(action)
        self._rewards.append(float(reward[0]))
        self.observation, self.success = observation[0], bool(info["success"][0])
        self.phase = "ended" if terminated[0] or truncated[0] else "running"

    def stop(self) -> None:
        """Ends the episode at hand where it is, if it is running."""
        if self.phase == "running":
            self.phase = "ended"

    def keep(self) -> None:
        """Appends an episode that has ended to the file, then begins the next one. Otherwise does nothing.

        Raises:
            TrainingError: if the file cannot be written. The episode is still there, to be kept again.
        """
        if self.phase != "ended":
            return
        task = self._env.task
        demos = (*(self._kept.demos if self._kept else ()), self._demo())
        kept = DemoSet(task.id, fields_of(task), demos)
        kept.save(self.path)
        self._kept = kept
        self._begin(self._next_seed())

    def drop(self) -> None:
        """Forgets the episode at hand, and begins another one."""
        self._dropped.add(self.seed)
        self._begin(self._next_seed())

    def redo(self) -> None:
        """Forgets the episode at hand, and begins it again at the same start."""
        self._begin(self.seed)

    def checkpoint(self) -> None:
        """Writes the episode at hand to its file, or removes that file where there is nothing to lose.

        Raises:
            TrainingError: if the file cannot be written.
        """
        if self._actions:
            task = self._env.task
            DemoSet(task.id, fields_of(task), (self._demo(),)).save(self.unfinished)
        else:
            self.unfinished.unlink(missing_ok=True)

    def close(self) -> None:
        """Writes the episode at hand once more, and lets others write."""
        self.checkpoint()
        _release(self._lock)

    def _open(self) -> None:
        if self.path.exists():
            self._kept = DemoSet.load(self.path)
            self._kept.check(self._env.task)
        self._begin(self._next_seed())
        if self.unfinished.exists():
            self._recover()

    def _begin(self, seed: int) -> None:
        self.seed, self.phase, self.success = seed, "ready", False
        self._observations: list[np.ndarray] = []
        self._actions: list[np.ndarray] = []
        self._rewards: list[float] = []
        self.observation = self._env.reset(seed=seed)[0][0]

    def _next_seed(self) -> int:
        """The first seed that was neither kept nor dropped."""
        known = self._dropped | ({demo.seed for demo in self._kept.demos} if self._kept else set())
        seed = self._first_seed
        while seed in known:
            seed += 1
        return seed

    def _demo(self) -> Demo:
        parts = (np.array(part, np.float32) for part in (self._observations, self._actions, self._rewards))
        observations, actions, rewards = parts
        return Demo(observations, actions, rewards, self.success, self.seed, self._source)

    def _recover(self) -> None:
        """Brings back the episode that a crash interrupted."""
        try:
            found = DemoSet.load(self.unfinished)
            found.check(self._env.task)
        except UsageError as error:
            raise FileError(f"{error}; delete {self.unfinished} to go on without that episode") from None
        demo = found.demos[0]
        if self._kept and any(_same(demo, one) for one in self._kept.demos):
            return  # it was kept, and the crash came just after that
        self._begin(demo.seed)
        for action in demo.actions:
            self.step(action)
        self.recovered = len(demo.actions)
        if self.steps < self.recovered or not np.array_equal(np.array(self._observations), demo.observations):
            # Another version of the simulator: it can be kept as it was recorded, but not gone on with.
            self._observations, self._actions = list(demo.observations), list(demo.actions)
            self._rewards, self.success, self.phase = list(demo.rewards), demo.success, "ended"


def _same(one: Demo, other: Demo) -> bool:
    return one.seed == other.seed and np.array_equal(one.actions, other.actions)


def _locked(path: Path) -> IO[str]:
    """Holds a lock that only one process can hold, and that ends with the process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f".{path.name}.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UsageError(f"somebody else records into {path}; choose another file with --out") from None
    if not os.path.exists(file.name) or not os.path.samestat(os.fstat(file.fileno()), os.stat(file.name)):
        file.close()  # whoever had it took it away just before
        return _locked(path)
    return file


def _release(lock: IO[str]) -> None:
    Path(lock.name).unlink()
    lock.close()
