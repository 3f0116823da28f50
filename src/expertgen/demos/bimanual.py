"""The scripted demonstrator of `bimanual-insertion`: waypoints for two hands, and inverse kinematics of their arms.

Each arm reaches for its thing, descends, grasps and lifts; then the peg is brought in line with the socket and pushed in.
A hand is driven by the error of what it moves: its fingertips before the grasp, the thing in them afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from expertgen.tasks.bimanual import ACTION_SCALE

# Where things go [m], in the world frame: x to the right, y away from the viewer, z up from the table.
SOCKET_PLACE = np.array([-0.05, 0.0, 0.15])
"""Where the socket is held; the peg comes to it from the right, along x."""
SOCKET_HALF_LENGTH = PEG_HALF_LENGTH = 0.048
GAP = 0.02
"""Between the peg's end and the socket's entrance before the insertion."""
INSERTED = 0.053
"""How far past the entrance the peg's end is pushed."""

# How things are grasped.
PITCH = 0.95
"""How far the hands point downwards [rad]."""
RETREAT = 0.07
"""How far the fingertips stop before the thing, against their direction, on their first way to it [m]."""
OUTWARD = 0.02
"""The fingertips grasp this much outwards of a thing's centre [m], and leave its inner end free."""
CLOSING_STEPS = 12
"""How long the fingers close before they lift [control steps]."""

# The arm (ViperX 300), in the frame of its base: each joint's axis and where it lies from the joint before [m].
_AXES = np.array([[0, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], float)
_OFFSETS = np.array([[0, 0, 0.079], [0, 0, 0.04805], [0.05955, 0, 0.3], [0.2, 0, 0], [0.1, 0, 0], [0.069744, 0, 0]])
_FINGERTIPS = np.array([0.1414, 0.0, -0.0033])
_BASE = np.array([0.469, -0.019, 0.02])
"""Of the right arm, in the world frame; the left arm stands opposite, at -x."""
_SETTLING = np.array([0.134, 0.0755, 0.0815, 0.087, 0.17, 0.115])
"""Damping of each joint by the stiffness of its drive [s]."""

GAIN = 0.25
"""Share of an error that one control step corrects."""
DAMPING = 0.05
"""Of the least squares [m/rad]: near a singular posture, slow rather than wild."""
ROTATION_WEIGHT = 0.2
"""Metres that an error of one radian counts as."""

OPEN, CLOSE = 1.0, -1.0


@dataclass(frozen=True)
class Pose:
    """Position `[3]` [m] and rotation matrix `[3, 3]`, in the world frame."""

    position: np.ndarray
    rotation: np.ndarray


class Arm:
    """Kinematics of one arm.

    Args:
        side: -1 for the left arm, which points to +x, and 1 for the right one, which points to -x.
    """

    def __init__(self, side: float) -> None:
        self.facing = np.diag([-side, -side, 1.0])
        self._base = _BASE * [side, 1.0, 1.0]

    def fingertips(self, joints: np.ndarray) -> tuple[Pose, np.ndarray]:
        """Where the fingertips are at joint angles `[6]`.

        Returns:
            their pose, and its Jacobian `[6, 6]`: velocity [m/s] and angular velocity [rad/s] per joint velocity.
        """
        position, rotation = self._base, self.facing
        places, axes = [], []
        for angle, axis, offset in zip(joints, _AXES, _OFFSETS, strict=True):
            position = position + rotation @ offset
            places.append(position)
            axes.append(rotation @ axis)
            rotation = rotation @ _turn(axis, angle)
        position = position + rotation @ _FINGERTIPS
        jacobian = np.vstack([np.cross(axes, position - np.array(places)).T, np.array(axes).T])
        return Pose(position, rotation), jacobian


class Hand:
    """One arm with its thing: reach, grasp, lift, and hold it where it is wanted.

    Args:
        side: -1 for the left arm, 1 for the right one.
        thing: name of what it handles.
    """

    def __init__(self, side: float, thing: str) -> None:
        self._arm, self._name, self._thing = Arm(side), "left" if side < 0 else "right", thing
        self._side = side
        self.phase = "approach"
        self._closing = 0

    def act(self, observation: Mapping[str, np.ndarray], goal: np.ndarray) -> np.ndarray:
        """Chooses the action `[7]` that brings the thing to `goal` `[3]`, level and in line with x."""
        joints, velocities = observation[f"{self._name}_joints"], observation[f"{self._name}_joint_velocities"]
        thing = Pose(observation[f"{self._thing}_position"], _matrix(observation[f"{self._thing}_quaternion"]))
        now, _ = self._arm.fingertips(joints)
        # A damped drive comes to rest ahead of where it is; what the action moves is that rest.
        rest, jacobian = self._arm.fingertips(joints + _SETTLING * velocities)

        grasp = self._grasp(thing)
        before = grasp.position - RETREAT * grasp.rotation[:, 0]
        if self.phase != "approach" and _distance(now.position, thing.position) > RETREAT + 2 * OUTWARD:
            self.phase = "approach"
        if self.phase == "approach" and _distance(now.position, before) < 0.015 and _angle(now, grasp) < 0.1:
            self.phase = "descend"
        if self.phase == "descend" and _distance(now.position, grasp.position) < 0.006:
            self.phase, self._closing = "close", 0
        if self.phase == "close" and self._closing > CLOSING_STEPS:
            self.phase = "hold"

        fingers = OPEN if self.phase in ("approach", "descend") else CLOSE
        if self.phase == "approach":
            shift, turn = before - rest.position, _rotation_between(rest.rotation, grasp.rotation)
        elif self.phase == "descend":
            shift, turn = grasp.position - rest.position, _rotation_between(rest.rotation, grasp.rotation)
        elif self.phase == "close":
            self._closing += 1
            shift, turn = np.zeros(3), np.zeros(3)
        else:
            shift = goal - thing.position - (rest.position - now.position)
            turn = _rotation_between(thing.rotation, np.eye(3)) - _rotation_between(now.rotation, rest.rotation)
        change = _damped_least_squares(jacobian, np.concatenate([shift, turn]))
        action = GAIN * change / ACTION_SCALE
        return np.append(action / max(1.0, np.abs(action).max()), fingers)

    def _grasp(self, thing: Pose) -> Pose:
        """Where the fingertips take the thing: across it, from above and outwards."""
        heading = np.arctan2(thing.rotation[1, 0], thing.rotation[0, 0])
        along = _turn(np.array([0.0, 0.0, 1.0]), heading)
        rotation = along @ self._arm.facing @ _turn(np.array([0.0, 1.0, 0.0]), PITCH)
        return Pose(thing.position + along @ [self._side * OUTWARD, 0.0, 0.0], rotation)


class BimanualInsertion:
    """The demonstrator. It has a memory of each hand's phase, and no randomness."""

    def __init__(self) -> None:
        self.reset(0)

    def reset(self, seed: int) -> None:
        """A new episode begins."""
        self._left, self._right = Hand(-1.0, "socket"), Hand(1.0, "peg")
        self._inserting = False

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """Chooses the action `[14]`: left arm, left fingers, right arm, right fingers."""
        socket = Pose(observation["socket_position"], _matrix(observation["socket_quaternion"]))
        peg = Pose(observation["peg_position"], _matrix(observation["peg_quaternion"]))
        end = peg.position - PEG_HALF_LENGTH * peg.rotation[:, 0]
        x, *aside = socket.rotation.T @ (end - socket.position)
        outside = x > SOCKET_HALF_LENGTH
        both = self._left.phase == self._right.phase == "hold"
        if outside and (not both or np.hypot(*aside) > 0.006):
            self._inserting = False
        in_line = np.hypot(*aside) < 0.003 and x < SOCKET_HALF_LENGTH + 2 * GAP and _angle(socket, peg) < 0.1
        if both and in_line:
            self._inserting = True
        reach = SOCKET_HALF_LENGTH + (-INSERTED if self._inserting else GAP) + PEG_HALF_LENGTH
        base = socket.position if both and _distance(socket.position, SOCKET_PLACE) < 0.03 else SOCKET_PLACE
        peg_goal = base + reach * socket.rotation[:, 0] if both else SOCKET_PLACE + [reach + 0.05, 0.0, 0.0]
        return np.concatenate([self._left.act(observation, SOCKET_PLACE), self._right.act(observation, peg_goal)])


def _damped_least_squares(jacobian: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Joint change `[6]` [rad] for an error `[6]` [m, rad]: `min |W (J dq - e)|^2 + damping^2 |dq|^2`."""
    weight = np.repeat([1.0, ROTATION_WEIGHT], 3)
    weighted = weight[:, None] * jacobian
    return np.linalg.solve(weighted.T @ weighted + DAMPING**2 * np.eye(6), weighted.T @ (weight * error))


def _turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation matrix about a unit axis (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def _matrix(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix of a quaternion wxyz."""
    w, *v = quaternion
    v = np.array(v)
    angle = 2.0 * np.arctan2(np.linalg.norm(v), w)
    return _turn(v / max(np.linalg.norm(v), 1e-9), angle)


def _rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Rotation vector `[3]` [rad] from one rotation matrix to another, for less than a right angle."""
    return 0.5 * np.cross(start.T, end.T).sum(axis=0)


def _angle(one: Pose, other: Pose) -> float:
    return float(np.linalg.norm(_rotation_between(one.rotation, other.rotation)))


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other))
