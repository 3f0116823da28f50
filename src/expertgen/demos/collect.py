"""Collecting demonstrations: one program in each environment, everything that happens recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from expertgen.demos.failure import Failure, counted
from expertgen.demos.imperfections import DEFAULT_IMPERFECTIONS, Imperfections
from expertgen.demos.program import LocalPrograms, MakeProgram, ProgramBatch
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

    Each environment has a program of its own, and each of its episodes a seed of its own. Where a program has failed,
    the action is 0 until the next episode.

    Args:
        task: what is demonstrated.
        program: makes one program, or already is one for every environment.
        num_envs: how many environments it runs in.
        seed: seed of all their randomness.

    Attributes:
        failures: environment → why its program failed in the running episode.
    """

    chunk_length = 1

    def __init__(self, task: TaskSpec, program: MakeProgram | ProgramBatch, num_envs: int, seed: int) -> None:
        self._programs = LocalPrograms(task, program, num_envs) if callable(program) else program
        self._action_size = task.action_size
        self._episodes = np.zeros(num_envs, np.int64)
        self._seed = seed
        self.failures: dict[int, Failure] = {}

    def reset(self, ids: np.ndarray) -> None:
        """New episodes begin in the environments `ids` `[n]`."""
        for i in ids.tolist():
            self.failures.pop(i, None)
        seeds = [derive_seed(self._seed, "program", i, int(self._episodes[i])) for i in ids.tolist()]
        self.failures |= self._programs.reset(ids, seeds)
        self._episodes[ids] += 1

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Asks the programs of the environments `ids` `[n]`; returns float32 `[n, 1, A]`, clipped to [-1, 1]."""
        actions = np.zeros((len(ids), 1, self._action_size), np.float32)
        able = ~np.isin(ids, list(self.failures))
        actions[able, 0], failures = self._programs.act(observation[able], ids[able])
        self.failures |= failures
        return actions.clip(-1.0, 1.0)


def collect(
    env: TaskEnv, program: MakeProgram | ProgramBatch, episodes: int, seed: int, source: str
) -> Generator[StageProgress, None, DemoSet]:
    """Runs programs and records their episodes.

    Every environment plays a number of episodes fixed beforehand (equal shares, the first environments one more), so
    that quick successes are not favoured. The true observations are recorded, whatever a program believed it saw.

    Where a program fails, its episode ends there, as a failure that says why; the others go on. An episode that fails
    before its first step leaves nothing to record, and is counted in the notes.

    Args:
        env: where to play; it is reset with `seed` first.
        program: makes one program for one environment, or already is one for every environment.
        episodes: how many to play, at least 1.
        seed: seed of the environments' and the programs' randomness.
        source: who demonstrates, as it will stand in the file.

    Yields:
        after every control step, the episodes finished and the share of successes among them (it leans high until the
        end, because successes finish first).

    Returns:
        the demonstrations, ordered by environment and by time within it.

    Raises:
        UsageError: if `episodes` is below 1, or every program fails at its first step.
    """
    if episodes < 1:
        raise UsageError(f"episodes is {episodes}; collect at least 1")
    task, everyone = env.task, np.arange(env.num_envs)
    left = cohort(episodes, env.num_envs)
    policy = ProgramPolicy(task, program, env.num_envs, seed)
    tape = _Tape(task, env.num_envs)
    recorded: list[tuple[int, Demo]] = []
    lost: list[str] = []  # why episodes failed of which there is nothing to record
    actions = np.zeros((env.num_envs, task.action_size), np.float32)
    observation, _ = env.reset(seed=seed)
    playing = np.flatnonzero(left)
    policy.reset(playing)
    while playing.size:
        actions[playing] = policy.plan(observation[playing], playing)[:, 0]
        failed = np.isin(playing, list(policy.failures))
        failing, going = playing[failed], playing[~failed]
        for i in failing.tolist():
            reason = str(policy.failures[i])
            demo = tape.cut(i, False, seed, source, reason)
            if len(demo.actions):
                recorded.append((i, demo))
            else:
                lost.append(reason)
        if not (going.size or recorded) and len(lost) == playing.size:
            raise UsageError(_most_frequent(lost))
        over = failing
        if going.size:
            before = observation
            observation, reward, terminated, truncated, info = env.step(actions)
            tape.write(going, before, actions, reward)
            done = going[(terminated | truncated)[going]]
            recorded += [(i, tape.cut(i, bool(info["success"][i]), seed, source)) for i in done.tolist()]
            over = np.concatenate([failing, done])
        left[over] -= 1
        again = over[left[over] > 0]
        if again.size:
            observation, _ = env.reset(options={"reset_mask": np.isin(everyone, again)})
            policy.reset(again)
        playing = np.flatnonzero(left)
        finished = len(recorded) + len(lost)
        success = sum(demo.success for _, demo in recorded) / finished if finished else 0.0
        yield StageProgress("demos", finished, episodes, "episodes", {"success": success})
    recorded.sort(key=lambda entry: entry[0])
    notes = ()
    if lost:
        notes = (_left_out(lost, episodes),)
        yield StageProgress("demos", episodes, episodes, "episodes", warning=notes[0])
    return DemoSet(task.id, fields_of(task), tuple(demo for _, demo in recorded), notes)


def only_successes(demos: DemoSet) -> DemoSet:
    """Leaves out the demonstrations that failed, with a line in `notes` where it was the program that did.

    Raises:
        UsageError: if none succeeded.
    """
    kept = tuple(demo for demo in demos.demos if demo.success)
    failures = [demo.failure for demo in demos.demos if demo.failure]
    if not kept and len(failures) == len(demos):
        raise UsageError(_most_frequent(failures))
    if not kept:
        raise UsageError(
            f"none of {len(demos)} episodes of {demos.task!r} succeeded; keep all, or demonstrate it better"
        )
    notes = (_left_out(failures, len(demos)),) if failures else ()
    return replace(demos, demos=kept, notes=(*demos.notes, *notes))


def _left_out(failures: list[str], episodes: int) -> str:
    return f"left out {len(failures)} of {episodes} episodes because the program failed: {counted(failures)}"


def _most_frequent(failures: list[str]) -> str:
    (text, _), *others = Counter(failures).most_common()
    return f"{text} (and {len(others)} other reasons)" if others else text


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

    def cut(self, i: int, success: bool, seed: int, source: str, failure: str = "") -> Demo:
        """Takes the episode of environment `i` off the tape."""
        steps, self._steps[i] = self._steps[i], 0
        parts = (array[i, :steps].copy() for array in (self._observations, self._actions, self._rewards))
        observations, actions, rewards = parts
        return Demo(observations, actions, rewards, success, seed, source, failure)
