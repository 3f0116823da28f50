"""Collecting demonstrations: one program in each environment, everything that happens recorded."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from expertgen.demos.program import MakeProgram
from expertgen.demos.store import Demo, DemoSet, fields_of
from expertgen.errors import UsageError
from expertgen.runs.progress import StageProgress
from expertgen.runs.seeding import derive_seed
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.spec import TaskSpec

Keep = Literal["all", "successes"]


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
        self._columns = {name: slice(start, stop) for name, start, stop in fields_of(task)}
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
            action[:] = self._programs[i].act({name: row[columns] for name, columns in self._columns.items()})
        return actions.clip(-1.0, 1.0)


def collect(
    env: TaskEnv, make_program: MakeProgram, episodes: int, seed: int, source: str, keep: Keep = "all"
) -> Generator[StageProgress, None, DemoSet]:
    """Runs programs and records their episodes.

    Every environment plays a number of episodes fixed beforehand (equal shares, the first environments one more), so that
    quick successes are not favoured. The true observations are recorded, whatever an imperfect program believed it saw.

    Args:
        env: where to play; it is reset with `seed` first.
        make_program: makes one program for one environment.
        episodes: how many to play, at least 1.
        seed: seed of the environments' and the programs' randomness.
        source: who demonstrates, as it will stand in the file.
        keep: `"successes"` leaves the failures out.

    Yields:
        episodes finished after every control step, and the share of successes among them (which leans high until the end).

    Returns:
        the demonstrations, ordered by environment and by time within it.

    Raises:
        UsageError: if `episodes` is below 1, a program fails, or no episode is left to keep.
    """
    if episodes < 1:
        raise UsageError(f"episodes is {episodes}; collect at least 1")
    task, n = env.task, env.num_envs
    share = episodes // n + (np.arange(n) < episodes % n)
    played = np.zeros(n, np.int64)
    policy = ProgramPolicy(task, make_program, n, seed)
    observation_tape = np.empty((n, task.horizon, task.observation_size), np.float32)
    action_tape = np.zeros((n, task.horizon, task.action_size), np.float32)
    reward_tape = np.empty((n, task.horizon), np.float32)
    steps = np.zeros(n, np.int64)
    recorded: list[tuple[int, Demo]] = []
    observation, _ = env.reset(seed=seed)
    playing = np.flatnonzero(share)
    policy.reset(playing)
    actions = np.zeros((n, task.action_size), np.float32)
    while playing.size:
        actions[playing] = policy.plan(observation[playing], playing)[:, 0]
        observation_tape[playing, steps[playing]] = observation[playing]
        action_tape[playing, steps[playing]] = actions[playing]
        observation, reward, terminated, truncated, info = env.step(actions)
        reward_tape[playing, steps[playing]] = reward[playing]
        steps[playing] += 1
        over = playing[(terminated | truncated)[playing]]
        for i in over.tolist():
            tapes = (tape[i, : steps[i]].copy() for tape in (observation_tape, action_tape, reward_tape))
            recorded.append((i, Demo(*tapes, bool(info["success"][i]), seed, source)))
        played[over] += 1
        steps[over] = 0
        again = over[played[over] < share[over]]
        if again.size:
            observation, _ = env.reset(options={"reset_mask": np.isin(np.arange(n), again)})
            policy.reset(again)
        playing = playing[played[playing] < share[playing]]
        success = np.mean([demo.success for _, demo in recorded]) if recorded else 0.0
        yield StageProgress("demos", len(recorded), episodes, "episodes", {"success": float(success)})
    demos = tuple(demo for _, demo in sorted(recorded, key=lambda entry: entry[0]) if keep == "all" or demo.success)
    if not demos:
        raise UsageError(
            f"none of {episodes} demonstrations of {task.id!r} succeeded; weaken the imperfections or keep all"
        )
    return DemoSet(task.id, fields_of(task), demos)
