"""The scripted demonstrator of `bimanual-insertion`: waypoints for two hands, and inverse kinematics of their arms.

Each arm reaches for its thing, descends, grasps and lifts; then the peg is brought in line with the socket and pushed
in. A hand is driven by the error of what it moves: its fingertips before the grasp, the thing between them afterwards.
Frames: the world frame, x to the right, y away from the viewer, z up from the table. Units: metres and radians.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from expertgen.demos.imperfections import Roles
from expertgen.tasks.bimanual import ACTION_SCALE

ROLES = Roles("peg_position", "right_hand_position", gripper=13, closing=-1.0)
"""What its imperfections are about: the peg, in the right hand."""

SOCKET_PLACE = np.array([-0.05, 0.0, 0.15])
"""Where the socket is held; the peg comes to it from the right."""
HALF_LENGTH = 0.048
"""Of the peg, and of the socket."""
READY = 0.03
"""How near to its place the socket must be before the peg comes to it."""
GAP = 0.02
"""Between the peg's end and the socket's entrance before the insertion."""
DEPTH = 0.053
"""How far past the entrance the peg's end is pushed."""
ASIDE = 0.003, 0.006
"""How near to the socket's axis the peg's end must be to start the insertion, and how far from it to start again."""

PITCH = 1.25
"""How far the hands point downwards; at about 0.9 the wrist is stretched, and its outer joints turn about one axis."""
RETREAT = 0.07
"""How far from the grasp the fingertips stop on their way to it, against the direction in which they point."""
APPROACHED = 0.008
"""How near to that point they must be before they go on; the open fingers leave 6 mm on either side of the socket."""
OUTWARD = 0.02
"""How far outwards of a thing's centre it is grasped, so that the other half of it is free."""
LOWEST = 0.01
"""Height of the fingertips above which they do not touch the table."""
CLOSING_STEPS = 12
"""How long the fingers close before they lift [control steps]."""

GAIN = 0.25
"""Share of the error that a control step corrects."""
ROTATION_WEIGHT = 0.2
"""Metres that an error of one radian counts as."""
DAMPING = 0.05
"""Of the least squares [m/rad]: slow, rather than wild, where the arm is nearly singular."""

OPEN, CLOSE = 1.0, -1.0

# The arms (ViperX 300): each joint's axis, and its place in the frame of the joint before, from the base outwards.
_AXES = np.array([[0, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], float)
_PLACES = np.array([[0, 0, 0.079], [0, 0, 0.04805], [0.05955, 0, 0.3], [0.2, 0, 0], [0.1, 0, 0], [0.069744, 0, 0]])
_FINGERTIPS = np.array([0.1414, 0.0, -0.0033])
_BASE = np.array([0.469, -0.019, 0.02])
"""Of the right arm; the left one stands opposite, at -x."""
_SETTLING = np.array([0.134, 0.0755, 0.0815, 0.087, 0.17, 0.115])
"""Damping of each joint over the stiffness of its drive [s]: how far ahead of a moving joint its target is."""


@dataclass(frozen=True)
class Pose:
    """Where something is.

    Attributes:
        position: `[3]`.
        rotation: rotation matrix `[3, 3]`; its columns are the thing's own axes.
    """

    position: np.ndarray
    rotation: np.ndarray

    @property
    def x(self) -> np.ndarray:
        """Its x axis: along the peg, out of the socket, out of the hand."""
        return self.rotation[:, 0]

    def error(self, goal: Pose) -> np.ndarray:
        """What is missing to `goal`: shift and rotation vector `[6]`; rotations are less than a right angle."""
        turn = 0.5 * np.cross(self.rotation.T, goal.rotation.T).sum(axis=0)
        return np.concatenate([goal.position - self.position, turn])


class Hand:
    """One arm and its thing: reach, grasp, and hold it where it is wanted.

    Args:
        side: -1 for the left arm, which reaches to the right, and 1 for the right one.
        name: prefix of its observation fields.
        thing: prefix of the fields of what it handles.
    """

    def __init__(self, side: float, name: str, thing: str) -> None:
        self._side, self._name, self._thing = side, name, thing
        self.base = Pose(_BASE * [side, 1.0, 1.0], np.diag([-side, -side, 1.0]))
        self._phase = "approach"
        self._closing = 0

    @property
    def holds(self) -> bool:
        """Whether it believes to have its thing."""
        return self._phase == "hold"

    def act(self, observation: Mapping[str, np.ndarray], goal: np.ndarray) -> np.ndarray:
        """Chooses the action `[7]` that takes the thing and brings it to `goal` `[3]`, level and along x."""
        tips, jacobian = fingertips(self.base, observation[f"{self._name}_joints"])
        ahead = jacobian @ (_SETTLING * observation[f"{self._name}_joint_velocities"])  # where its motion will end
        thing = pose_of(observation, self._thing)
        grasp = self._grasp(thing)
        before = Pose(grasp.position - RETREAT * grasp.x, grasp.rotation)

        if self._phase != "approach" and _length(thing.position - tips.position) > RETREAT + 2 * OUTWARD:
            self._phase = "approach"  # it has lost the thing
        if self._phase == "approach" and _near(tips.error(before), APPROACHED, 0.1):
            self._phase = "descend"
        if self._phase == "descend" and _near(tips.error(grasp), 0.006, 0.1):
            self._phase, self._closing = "close", 0
        if self._phase == "close" and self._closing == CLOSING_STEPS:
            self._phase = "hold"

        if self._phase == "approach":
            return np.append(_move(jacobian, tips.error(before) - ahead), OPEN)
        if self._phase == "descend":
            return np.append(_move(jacobian, tips.error(grasp) - ahead), OPEN)
        if self._phase == "close":
            self._closing += 1
            return np.append(np.zeros(6), CLOSE)
        return np.append(_move(jacobian, thing.error(Pose(goal, np.eye(3))) - ahead), CLOSE)

    def _grasp(self, thing: Pose) -> Pose:
        """Where the fingertips take the thing: across it, from above."""
        heading = _turn(np.array([0.0, 0.0, 1.0]), np.arctan2(thing.x[1], thing.x[0]))
        position = thing.position + self._side * OUTWARD * heading[:, 0]
        position[2] = max(position[2], LOWEST)
        return Pose(position, heading @ self.base.rotation @ _turn(np.array([0.0, 1.0, 0.0]), PITCH))


class BimanualInsertion:
    """The demonstrator. It remembers what each hand is at; nothing about it is random."""

    def __init__(self) -> None:
        self.reset(0)

    def reset(self, seed: int) -> None:
        """A new episode begins."""
        self._left, self._right = Hand(-1.0, "left", "socket"), Hand(1.0, "right", "peg")
        self._inserting = False

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """Chooses the action `[14]`: left arm, left fingers, right arm, right fingers."""
        return np.concatenate(
            [self._left.act(observation, SOCKET_PLACE), self._right.act(observation, self._peg_goal(observation))]
        )

    def _peg_goal(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """Where the peg's centre is wanted `[3]`: beside the socket's place, before its entrance, or inside."""
        socket, peg = pose_of(observation, "socket"), pose_of(observation, "peg")
        ready = self._left.holds and self._right.holds and _length(socket.position - SOCKET_PLACE) < READY
        if not ready:
            self._inserting = False
            return SOCKET_PLACE + np.array([2 * HALF_LENGTH + 3 * GAP, 0.0, 0.0])
        end = socket.rotation.T @ (peg.position - HALF_LENGTH * peg.x - socket.position)
        aside, outside = _length(end[1:]), end[0] > HALF_LENGTH
        if aside < ASIDE[0] and end[0] < HALF_LENGTH + 2 * GAP and _near(peg.error(socket), np.inf, 0.1):
            self._inserting = True
        elif aside > ASIDE[1] and outside:
            self._inserting = False
        return socket.position + (2 * HALF_LENGTH + (-DEPTH if self._inserting else GAP)) * socket.x


def pose_of(observation: Mapping[str, np.ndarray], thing: str) -> Pose:
    """The observed pose of a thing (its quaternion is wxyz)."""
    position, quaternion = (observation[f"{thing}_{name}"].astype(float) for name in ("position", "quaternion"))
    cross = _cross(quaternion[1:])
    return Pose(position, np.eye(3) + 2.0 * quaternion[0] * cross + 2.0 * cross @ cross)


def fingertips(base: Pose, joints: np.ndarray) -> tuple[Pose, np.ndarray]:
    """Forward kinematics of an arm.

    Args:
        base: where the arm stands, its x axis forwards.
        joints: angles `[6]`.

    Returns:
        the pose of the point between the fingertips, and its Jacobian `[6, 6]`: velocity and angular velocity per joint
        velocity.
    """
    position, rotation = base.position, base.rotation
    positions, axes = [], []
    for angle, axis, place in zip(joints.astype(float), _AXES, _PLACES, strict=True):
        position = position + rotation @ place
        positions.append(position)
        axes.append(rotation @ axis)
        rotation = rotation @ _turn(axis, angle)
    position = position + rotation @ _FINGERTIPS
    return Pose(position, rotation), np.vstack([np.cross(axes, position - positions).T, np.transpose(axes)])


def _move(jacobian: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The joints' part of an action `[6]` that makes up for an error `[6]`, at most as fast as they can, in proportion.

    Damped least squares: `dq` minimizes `|W (J dq - e)|^2 + damping^2 |dq|^2`.
    """
    weight = np.repeat([1.0, ROTATION_WEIGHT], 3)
    weighted = weight[:, None] * jacobian
    change = np.linalg.solve(weighted.T @ weighted + DAMPING**2 * np.eye(6), weighted.T @ (weight * error))
    action = GAIN * change / ACTION_SCALE
    return action / max(1.0, np.abs(action).max())


def _turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation matrix of a turn about a unit axis (Rodrigues)."""
    cross = _cross(axis)
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def _cross(vector: np.ndarray) -> np.ndarray:
    """The matrix of the cross product with a vector `[3]`."""
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _near(error: np.ndarray, distance: float, angle: float) -> bool:
    return _length(error[:3]) < distance and _length(error[3:]) < angle


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))
