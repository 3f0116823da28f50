"""Disturbing episodes, to see what a policy recovers from: by its actions and observations alone, in any simulator.

A perturbation stands around an environment's `step`, so that whatever plays episodes plays disturbed ones unchanged.
All that is random about it is drawn when an episode begins, from the environment's seed, the environment's index and
the episode's: every policy, whatever its chunks, meets the very same disturbances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from expertgen.errors import UsageError, nearest
from expertgen.runs.seeding import numpy_generator
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.episodes import Episodes, StepResult
from expertgen.tasks.spec import TaskSpec

_OPENS_WITHIN = 1 / 4
"""Share of the time limit within which the gripper begins to open: even an expert is seldom done by then."""


@runtime_checkable
class Perturbation(Protocol):
    """What disturbs the episodes of `N` environments.

    One that needs more than actions and observations, such as a force on an object, finds the simulator in the
    environment that both methods are given.
    """

    def begin(
        self, env: TaskEnv, observation: np.ndarray, ids: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> np.ndarray:
        """New episodes have begun in the environments `ids`.

        Args:
            env: the undisturbed environments.
            observation: float32 `[n, D]`, what they show.
            ids: int64 `[n]`.
            generators: of everything random in these episodes, one each.

        Returns:
            float32 `[n, D]`, what the policy sees.
        """
        ...

    def step(self, env: TaskEnv, actions: np.ndarray, ids: np.ndarray, steps: np.ndarray) -> StepResult:
        """Runs one control step.

        Args:
            env: the undisturbed environments.
            actions: float32 `[N, A]`, what the policy commands, in [-1, 1]; they may be changed.
            ids: int64 `[n]`, the environments whose episodes have not ended.
            steps: int64 `[n]`, control steps that these have run before.

        Returns:
            what `TaskEnv.step` returns; only the rows `ids` are read.
        """
        ...


class PerturbedEnv(TaskEnv):
    """Environments whose episodes are disturbed.

    Args:
        env: the undisturbed environments.
        name: of the perturbation; it names its random streams, so that all strengths of it draw alike.
        perturbation: what disturbs them.
    """

    def __init__(self, env: TaskEnv, name: str, perturbation: Perturbation) -> None:
        super().__init__(env.task, env.num_envs)
        self._env, self._name, self._perturbation = env, name, perturbation
        self._episodes = Episodes(env.task, env.num_envs)
        self._seed = 0
        self._index = np.zeros(env.num_envs, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts new episodes; see `TaskEnv.reset`. Without a seed, the first reset takes one from the system."""
        ids = self._episodes.to_reset(seed, options)
        if seed is None and not self._episodes.begun:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        if seed is not None:
            self._seed = seed
            self._index[:] = 0
        else:
            self._index[ids] += 1
        observation, _ = self._env.reset(seed=seed, options=options)
        generators = [numpy_generator(self._seed, self._name, int(i), int(self._index[i])) for i in ids]
        self._episodes.begin(ids, self._perturbation.begin(self._env, observation[ids], ids, generators))
        return self._episodes.reset_result()

    def step(self, actions: np.ndarray) -> StepResult:
        """Runs one disturbed control step in every environment whose episode has not ended; see `TaskEnv.step`."""
        ids = self._episodes.running()
        commanded = np.zeros(self._episodes.action_shape, np.float32)
        commanded[ids] = self._episodes.actions(actions, ids)
        steps = self._episodes.steps[ids]
        observation, reward, terminated, _, info = self._perturbation.step(self._env, commanded, ids, steps)
        success = info["success"][ids]
        self._episodes.record(ids, observation[ids], reward[ids], success, terminated[ids] & ~success)
        return self._episodes.step_result()


class _GripperOpen:
    """The gripper opens with full force for some control steps, at a random moment of the episode."""

    def __init__(self, env: TaskEnv, duration: float) -> None:
        if "gripper" not in env.task.action_names:
            raise UsageError(f"task {env.task.id!r} has no action named 'gripper', so gripper_open cannot disturb it")
        self._gripper = env.task.action_names.index("gripper")
        self._duration = duration
        self._start = np.zeros(env.num_envs, np.int64)

    def begin(
        self, env: TaskEnv, observation: np.ndarray, ids: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> np.ndarray:
        self._start[ids] = [int(g.random() * _OPENS_WITHIN * env.task.horizon) for g in generators]
        return observation

    def step(self, env: TaskEnv, actions: np.ndarray, ids: np.ndarray, steps: np.ndarray) -> StepResult:
        since = steps - self._start[ids]
        actions[ids[(since >= 0) & (since < self._duration)], self._gripper] = -1.0
        return env.step(actions)


class _ActuationNoise:
    """Independent Gaussian noise on every action dimension in every control step; the sum is clipped to [-1, 1]."""

    def __init__(self, env: TaskEnv, deviation: float) -> None:
        self._deviation = deviation
        self._noise = np.zeros((env.num_envs, env.task.horizon, env.task.action_size), np.float32)

    def begin(
        self, env: TaskEnv, observation: np.ndarray, ids: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> np.ndarray:
        for i, generator in zip(ids, generators, strict=True):
            self._noise[i] = self._deviation * generator.standard_normal(self._noise.shape[1:])
        return observation

    def step(self, env: TaskEnv, actions: np.ndarray, ids: np.ndarray, steps: np.ndarray) -> StepResult:
        actions[ids] += self._noise[ids, steps]
        return env.step(actions)


class _Latency:
    """Actions arrive some control steps late; until the first one does, all actions are 0."""

    def __init__(self, env: TaskEnv, steps: float) -> None:
        late = min(int(steps), env.task.horizon)  # later than that, no action ever arrives
        self._under_way = np.zeros((env.num_envs, late, env.task.action_size), np.float32)

    def begin(
        self, env: TaskEnv, observation: np.ndarray, ids: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> np.ndarray:
        self._under_way[ids] = 0.0
        return observation

    def step(self, env: TaskEnv, actions: np.ndarray, ids: np.ndarray, steps: np.ndarray) -> StepResult:
        queue = np.concatenate([self._under_way[ids], actions[ids, None]], axis=1)
        actions[ids], self._under_way[ids] = queue[:, 0], queue[:, 1:]
        return env.step(actions)


class _ObservationNoise:
    """Independent Gaussian noise on every observed length in every control step."""

    def __init__(self, env: TaskEnv, deviation: float) -> None:
        task = env.task
        self._columns = [column for f in task.fields if f.unit == "m" for column in range(f.start, f.stop)]
        if not self._columns:
            raise UsageError(f"task {task.id!r} names no field in metres, so observation_noise has nothing to disturb")
        self._deviation = deviation
        self._noise = np.zeros((env.num_envs, task.horizon + 1, len(self._columns)), np.float32)

    def begin(
        self, env: TaskEnv, observation: np.ndarray, ids: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> np.ndarray:
        for i, generator in zip(ids, generators, strict=True):
            self._noise[i] = self._deviation * generator.standard_normal(self._noise.shape[1:])
        return self._seen(observation, self._noise[ids, 0])

    def step(self, env: TaskEnv, actions: np.ndarray, ids: np.ndarray, steps: np.ndarray) -> StepResult:
        result = env.step(actions)
        result[0][ids] = self._seen(result[0][ids], self._noise[ids, steps + 1])
        return result

    def _seen(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        observation[:, self._columns] += noise
        return observation


class _RandomStart:
    """For the first control steps a random constant action drives the robot, whatever the policy commands."""

    def __init__(self, env: TaskEnv, steps: float) -> None:
        self._steps = steps
        self._action = np.zeros((env.num_envs, env.task.action_size), np.float32)

    def begin(
        self, env: TaskEnv, observation: np.ndarray, ids: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> np.ndarray:
        for i, generator in zip(ids, generators, strict=True):
            self._action[i] = generator.uniform(-1.0, 1.0, self._action.shape[1])
        return observation

    def step(self, env: TaskEnv, actions: np.ndarray, ids: np.ndarray, steps: np.ndarray) -> StepResult:
        driven = ids[steps < self._steps]
        actions[driven] = self._action[driven]
        return env.step(actions)


@dataclass(frozen=True)
class Kind:
    """A kind of perturbation.

    Attributes:
        make: from environments and a strength to the perturbation.
        strengths: what is played unless told otherwise: a mild one, the default, and a strong one.
        unit: of the strength; empty for action units.
    """

    make: Callable[[TaskEnv, float], Perturbation]
    strengths: tuple[float, float, float]
    unit: str


KINDS = {
    "gripper_open": Kind(_GripperOpen, (5, 10, 20), "steps"),
    "actuation_noise": Kind(_ActuationNoise, (0.1, 0.3, 0.6), ""),
    "latency": Kind(_Latency, (1, 2, 4), "steps"),
    "observation_noise": Kind(_ObservationNoise, (0.002, 0.005, 0.01), "m"),
    "random_start": Kind(_RandomStart, (8, 16, 32), "steps"),
}
"""All kinds, by the name that tasks list in `TaskSpec.perturbations`."""


def perturb(env: TaskEnv, name: str, strength: float) -> TaskEnv:
    """Puts a perturbation around environments; they may still be closed by whoever made them.

    Args:
        env: the undisturbed environments.
        name: one of `env.task.perturbations`.
        strength: in the unit of its kind; at 0 nothing is disturbed.

    Raises:
        UsageError: for a perturbation that the task does not allow, and an impossible strength.
    """
    check_perturbation(env.task, name, strength)
    return PerturbedEnv(env, name, KINDS[name].make(env, strength))


def check_perturbation(task: TaskSpec, name: str, strength: float) -> None:
    """Refuses what `perturb` refuses."""
    if name not in task.perturbations or name not in KINDS:
        allowed = [known for known in task.perturbations if known in KINDS]
        said = ", ".join(allowed) or "none"
        raise UsageError(
            f"task {task.id!r} does not allow perturbation {name!r}{nearest(name, allowed)}; it allows {said}"
        )
    whole = KINDS[name].unit == "steps"
    if not 0 <= strength < float("inf") or (whole and strength != int(strength)):
        what = "whole number of control steps" if whole else "finite number"
        raise UsageError(f"the strength of {name} must be a {what} that is not negative, not {strength:g}")


def read_perturbations(task: TaskSpec, words: Sequence[str]) -> list[tuple[str, float]]:
    """Reads what a user asks for: `NAME`, for its usual strengths, or `NAME=STRENGTH`.

    Args:
        task: what is to be disturbed.
        words: none stand for all that the task allows.

    Returns:
        names and strengths, each once.

    Raises:
        UsageError: for what cannot be read or is not allowed.
    """
    found = []
    for word in words or [name for name in KINDS if name in task.perturbations]:
        name, said = _read(task, word)
        strengths = KINDS[name].strengths if said is None else (said,)
        found += [(name, float(strength)) for strength in strengths]
    return list(dict.fromkeys(found))


def perturb_all(env: TaskEnv, words: Sequence[str]) -> TaskEnv:
    """Puts perturbations around environments, one around the other.

    Args:
        env: the undisturbed environments; they may still be closed by whoever made them.
        words: `NAME`, for its default strength, or `NAME=STRENGTH`; without any, the environments stay as they are.

    Raises:
        UsageError: as `read_perturbations`.
    """
    for word in words:
        name, said = _read(env.task, word)
        env = perturb(env, name, KINDS[name].strengths[1] if said is None else said)
    return env


def _read(task: TaskSpec, word: str) -> tuple[str, float | None]:
    """A name, and the strength if it is said."""
    name, equals, said = word.partition("=")
    try:
        strength = float(said) if equals else None
    except ValueError:
        raise UsageError(f"perturbation {word!r}: {said!r} is no number; write NAME or NAME=STRENGTH") from None
    check_perturbation(task, name, strength or 0.0)
    return name, strength
