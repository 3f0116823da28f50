"""Collecting demonstrations: one program in each environment, everything that happens recorded."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from expertgen.demos.imperfections import DEFAULT_IMPERFECTIONS, Imperfections
from expertgen.demos.program import MakeProgram, visible_fields
from expertgen.demos.store import Demo, DemoSet, fields_of
from expertgen.errors import UsageError
from expertgen.runs.progress import StageProgress
from expertgen.runs.ranges import Count, check_ranges
from expertgen.runs.seeding import derive_seed
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.episodes import cohort
from expertgen.tasks.spec import TaskSpec

Keep = Literal["all", "successes"]


@dataclass(frozen=True)
class CollectConfig:
    """How demonstrations are collected."""

    episodes: Count = 128
    """Episodes to play."""
    num_envs: Count = 64
    """Environments that play at the same time, at most one for each episode."""
    keep: Keep = "all"
    """Which episodes to keep: "all", or "successes" alone."""
    imperfections: Imperfections = DEFAULT_IMPERFECTIONS
    """What is wrong with the scripted demonstrator."""

    def __post_init__(self) -> None:
        check_ranges(self, "demos")


class ProgramPolicy:
    """Programs as a policy, so that they are evaluated like every other one.

    Each environment has a program of its own, and each of its episodes a seed of its own.

    Args:
        task: what is demonstrated.
        make_program: makes one program.
        num_envs: how many environments it runs in.
        seed: seed of all their randomness.
    """

    chunk_length = 1

    def __init__(self, task: TaskSpec, make_program: MakeProgram, num_envs: int, seed: int) -> None:
        self._fields = visible_fields(task)
        self._action_size = task.action_size
        self._programs = [make_program() for _ in range(num_envs)]
        self._episodes = np.zeros(num_envs, np.int64)
        self._seed = seed

    def reset(self, ids: np.ndarray) -> None:
        """New episodes begin in the environments `ids` `[n]`."""
        for i in ids.tolist():
            self._programs[i].reset(derive_seed(self._seed, "program", i, int(self._episodes[i])))
        self._episodes[ids] += 1

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Asks the programs of the environments `ids` `[n]`; returns float32 `[n, 1, A]`, clipped to [-1, 1]."""
        rows = observation.astype(np.float32)
        rows.flags.writeable = False  # a program cannot change what is recorded
        actions = np.empty((len(ids), 1, self._action_size), np.float32)
        for i, row, action in zip(ids.tolist(), rows, actions[:, 0], strict=True):
            action[:] = self._programs[i].act({name: row[columns] for name, columns in self._fields.items()})
        return actions.clip(-1.0, 1.0)


def collect(
    env: TaskEnv, make_program: MakeProgram, episodes: int, seed: int, source: str, keep: Keep = "all"
) -> Generator[StageProgress, None, DemoSet]:
    """Runs programs and records their episodes.

    Every environment plays a number of episodes fixed beforehand (equal shares, the first environments one more), so
    that quick successes are not favoured. The true observations are recorded, whatever a program believed it saw.

    Args:
        env: where to play; it is reset with `seed` first.
        make_program: makes one program for one environment.
        episodes: how many to play, at least 1.
        seed: seed of the environments' and the programs' randomness.
        source: who demonstrates, as it will stand in the file.
        keep: `"successes"` leaves the failures out.

    Yields:
        after every control step, the episodes finished and the share of successes among them (it leans high until the
        end, because successes finish first).

    Returns:
        the demonstrations, ordered by environment and by time within it.

    Raises:
        UsageError: if `episodes` is below 1, a program fails, or no episode is left to keep.
    """
    if episodes < 1:
        raise UsageError(f"episodes is {episodes}; collect at least 1")
    task, everyone = env.task, np.arange(env.num_envs)
    left = cohort(episodes, env.num_envs)
    policy = ProgramPolicy(task, make_program, env.num_envs, seed)
    tape = _Tape(task, env.num_envs)
    recorded: list[tuple[int, Demo]] = []
    actions = np.zeros((env.num_envs, task.action_size), np.float32)
    observation, _ = env.reset(seed=seed)
    playing = np.flatnonzero(left)
    policy.reset(playing)
    while playing.size:
        actions[playing] = policy.plan(observation[playing], playing)[:, 0]
        before = observation
        observation, reward, terminated, truncated, info = env.step(actions)
        tape.write(playing, before, actions, reward)
        over = playing[(terminated | truncated)[playing]]
        recorded += [(i, tape.cut(i, bool(info["success"][i]), seed, source)) for i in over.tolist()]
        left[over] -= 1
        again = over[left[over] > 0]
        if again.size:
            observation, _ = env.reset(options={"reset_mask": np.isin(everyone, again)})
            policy.reset(again)
        playing = np.flatnonzero(left)
        success = float(np.mean([demo.success for _, demo in recorded])) if recorded else 0.0
        yield StageProgress("demos", len(recorded), episodes, "episodes", {"success": success})
    recorded.sort(key=lambda entry: entry[0])
    demos = tuple(demo for _, demo in recorded if keep == "all" or demo.success)
    if not demos:
        raise UsageError(f"none of {episodes} episodes of {task.id!r} succeeded; keep all, or demonstrate it better")
    return DemoSet(task.id, fields_of(task), demos)


class _Tape:
    """The running episodes of `N` environments."""

    def __init__(self, task: TaskSpec, num_envs: int) -> None:
        self._observations = np.zeros((num_envs, task.horizon, task.observation_size), np.float32)
        self._actions = np.zeros((num_envs, task.horizon, task.action_size), np.float32)
        self._rewards = np.zeros((num_envs, task.horizon), np.float32)
        self._steps = np.zeros(num_envs, np.int64)

    def write(self, ids: np.ndarray, observation: np.ndarray, actions: np.ndarray, rewards: np.ndarray) -> None:
        """Appends one control step to the episodes of the environments `ids`; the arrays are of all environments."""
        steps = self._steps[ids]
        self._observations[ids, steps] = observation[ids]
        self._actions[ids, steps] = actions[ids]
        self._rewards[ids, steps] = rewards[ids]
        self._steps[ids] += 1

    def cut(self, i: int, success: bool, seed: int, source: str) -> Demo:
        """Takes the episode of environment `i` off the tape."""
        steps, self._steps[i] = self._steps[i], 0
        parts = (array[i, :steps].copy() for array in (self._observations, self._actions, self._rewards))
        observations, actions, rewards = parts
        return Demo(observations, actions, rewards, success, seed, source)
