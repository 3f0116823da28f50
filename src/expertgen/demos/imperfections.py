"""Making a good program imperfect, in the ways robots are: named, independent imperfections, each with a strength.

Each is a wrapper around any program. They act on what it believes it sees or on what its actuators do, never on what is
recorded, and each has its own random stream, so switching one on does not change the draws of another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from expertgen.demos.program import MakeProgram, Program
from expertgen.runs.ranges import Natural, NotNegative, Part, Share, check_ranges
from expertgen.runs.seeding import numpy_generator

OPENING_STEPS = 10
"""How long a premature opening of the gripper lasts [control steps]."""

DISPLACEMENT = 0.02
"""How far an object must have moved to count as grasped (since the gripper closes) or as lost (in the hand) [m]."""


@dataclass(frozen=True)
class Imperfections:
    """What is wrong with a demonstrator. At 0, an imperfection is absent."""

    calibration_error: NotNegative = 0.0
    """Error of the perceived object position: one constant offset per episode, standard deviation per axis [m]."""
    actuation_noise: NotNegative = 0.0
    """Noise added to every action, standard deviation per dimension [action units]."""
    actuation_correlation: Share = 0.0
    """Correlation of the actuation noise from one control step to the next, in [0, 1): 0 is white, 0.95 is smooth."""
    latency: Natural = 0
    """Age of what the program sees [control steps]."""
    gripper_opening: Part = 0.0
    """Probability, per control step in which the gripper is closing, that it opens for 10 control steps."""
    no_recovery: Part = 0.0
    """Probability, per episode, that the program does not notice that it has lost an object that it had grasped."""

    def __post_init__(self) -> None:
        check_ranges(self, "imperfections")


DEFAULT_IMPERFECTIONS = Imperfections(calibration_error=0.015, actuation_noise=0.3)
"""What the scripted demonstrators are degraded by unless told otherwise."""


@dataclass(frozen=True)
class Roles:
    """Which observation fields and which action dimension of a task an imperfection is about.

    Attributes:
        object_position: field with the position of the object that is to be handled [m].
        hand_position: field with the position of the hand [m], in the same frame.
        gripper: index of the gripper's action dimension.
        closing: 1 where larger actions close the gripper, -1 where they open it.
    """

    object_position: str
    hand_position: str
    gripper: int
    closing: float = 1.0


def imperfect(make_program: MakeProgram, imperfections: Imperfections, roles: Roles) -> MakeProgram:
    """Returns a function that makes programs with these imperfections; without any, the programs themselves."""

    def make() -> Program:
        program = make_program()
        if imperfections.calibration_error:
            program = _CalibrationError(program, imperfections.calibration_error, roles)
        if imperfections.no_recovery:
            program = _NoRecovery(program, imperfections.no_recovery, roles)
        if imperfections.latency:
            program = _Latency(program, imperfections.latency)
        if imperfections.gripper_opening:
            program = _GripperOpening(program, imperfections.gripper_opening, roles)
        if imperfections.actuation_noise:
            program = _ActuationNoise(program, imperfections.actuation_noise, imperfections.actuation_correlation)
        return program

    return make


class _CalibrationError:
    """The program sees the object where it is not: `o + d`, `d ~ N(0, error^2 I)` drawn once per episode."""

    def __init__(self, program: Program, error: float, roles: Roles) -> None:
        self._program, self._error, self._field = program, error, roles.object_position
        self._offset = np.zeros(3, np.float32)

    def reset(self, seed: int) -> None:
        generator = numpy_generator(seed, "calibration_error")
        self._offset = (self._error * generator.standard_normal(3)).astype(np.float32)
        self._program.reset(seed)

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        return self._program.act({**observation, self._field: observation[self._field] + self._offset})


class _NoRecovery:
    """The program does not notice that it has lost the object, and goes on as if it still held it.

    The object counts as grasped when it has moved by 2 cm since the gripper began to close, and as lost when, after
    that, it has moved by 2 cm in the hand. From then on the program believes it to be in the hand as it was grasped.
    Whether a program is so blind is drawn once per episode.
    """

    def __init__(self, program: Program, probability: float, roles: Roles) -> None:
        self._program, self._probability, self._roles = program, probability, roles
        self._closing = _Closing(roles)
        self._blind = self._lost = False
        self._lying: np.ndarray | None = None
        self._grasp: np.ndarray | None = None

    def reset(self, seed: int) -> None:
        self._blind = bool(numpy_generator(seed, "no_recovery").random() < self._probability)
        self._closing.reset()
        self._lost = False
        self._lying = self._grasp = None
        self._program.reset(seed)

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        place, hand = observation[self._roles.object_position], observation[self._roles.hand_position]
        if self._lying is None or not self._closing.now:
            self._lying = place
        if self._grasp is None and _apart(place, self._lying):
            self._grasp = place - hand
        if self._grasp is not None and self._blind:
            self._lost = self._lost or _apart(place - hand, self._grasp)
            if self._lost:
                observation = {**observation, self._roles.object_position: hand + self._grasp}
        action = self._program.act(observation)
        self._closing.see(action)
        return action


def _apart(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.linalg.norm(a - b) > DISPLACEMENT)


class _Latency:
    """The program sees what was there some control steps ago; at the start of an episode, the first observation."""

    def __init__(self, program: Program, steps: int) -> None:
        self._program = program
        self._seen: deque[Mapping[str, np.ndarray]] = deque(maxlen=steps + 1)

    def reset(self, seed: int) -> None:
        self._seen.clear()
        self._program.reset(seed)

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        self._seen.append(observation)
        return self._program.act(self._seen[0])


class _GripperOpening:
    """While it is closing, the gripper may open for a moment, in every control step with the same probability."""

    def __init__(self, program: Program, probability: float, roles: Roles) -> None:
        self._program, self._probability, self._roles = program, probability, roles
        self._closing = _Closing(roles)
        self._generator = numpy_generator(0)
        self._left = 0

    def reset(self, seed: int) -> None:
        self._generator = numpy_generator(seed, "gripper_opening")
        self._closing.reset()
        self._left = 0
        self._program.reset(seed)

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        action = self._program.act(observation)
        self._closing.see(action)
        if self._left == 0 and self._closing.now and self._generator.random() < self._probability:
            self._left = OPENING_STEPS
        if self._left:
            self._left -= 1
            action = action.copy()
            action[self._roles.gripper] = -self._roles.closing
        return action


class _ActuationNoise:
    """Gaussian noise on every action that the program commands (after its clipping to [-1, 1]).

    `x_t = c x_{t-1} + sqrt(1 - c^2) s e_t` with `e_t ~ N(0, I)`: standard deviation `s` at any correlation `c`.
    """

    def __init__(self, program: Program, strength: float, correlation: float) -> None:
        self._program, self._strength, self._correlation = program, strength, correlation
        self._generator = numpy_generator(0)
        self._noise: np.ndarray | None = None

    def reset(self, seed: int) -> None:
        self._generator = numpy_generator(seed, "actuation_noise")
        self._noise = None
        self._program.reset(seed)

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        action = self._program.act(observation).clip(-1.0, 1.0)
        fresh = self._strength * self._generator.standard_normal(action.shape[-1])
        if self._noise is None:
            self._noise = fresh
        else:
            self._noise = self._correlation * self._noise + np.sqrt(1.0 - self._correlation**2) * fresh
        return (action + self._noise).astype(np.float32)


class _Closing:
    """Whether a program is closing its gripper: it commands it tighter than at the start of the episode.

    Relative, because some programs hold the gripper half closed from the start.
    """

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._first: float | None = None
        self.now = False

    def reset(self) -> None:
        self._first, self.now = None, False

    def see(self, action: np.ndarray) -> None:
        command = self._roles.closing * float(action[self._roles.gripper])
        if self._first is None:
            self._first = command
        self.now = command > self._first + 0.1
