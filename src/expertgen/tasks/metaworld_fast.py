"""MetaWorld's slow Python parts without their overhead: the same bits in a tenth of the time.

Python MetaWorld spends more time on looking up bodies by name, on SciPy's rotation class and on lists of contacts
than on the physics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

_FRAME_SIZE = 18
"""Hand (3), gripper (1) and up to two objects (7 each)."""


def fast_frame(environment: Any) -> Callable[[], np.ndarray]:
    """Returns a replacement for `environment._get_curr_obs_combined_no_goal`.

    Args:
        environment: a MetaWorld environment; its class is left alone.

    Returns:
        a function without arguments that returns a new float64 array `[18]`: hand position, gripper opening, and
        position and quaternion of each object, padded with zeros.
    """
    data = environment.data
    hand, right, left = (data.body(name).xpos for name in ("hand", "rightclaw", "leftclaw"))
    positions = environment._get_pos_objects
    quaternions = _with_fast_rotation(type(environment)._get_quat_objects)

    def frame() -> np.ndarray:
        result = np.zeros(_FRAME_SIZE)
        result[:3] = hand
        result[3] = min(max(np.linalg.norm(right - left) / 0.1, 0.0), 1.0)
        position, quaternion = positions(), quaternions(environment)
        for i in range(len(position) // 3):
            result[4 + 7 * i : 7 + 7 * i] = position[3 * i : 3 * i + 3]
            result[7 + 7 * i : 11 + 7 * i] = quaternion[4 * i : 4 * i + 4]
        return result

    return frame


def fast_touching(environment: Any) -> Callable[[int], bool]:
    """Returns a replacement for `environment.touching_object`: do both finger pads press on a geom?"""
    data = environment.data
    pads = [data.geom(name).id for name in ("leftpad_geom", "rightpad_geom")]

    def touching(object_geom_id: int) -> bool:
        first, second, address = data.contact.geom1, data.contact.geom2, data.contact.efc_address
        with_object = (first == object_geom_id) | (second == object_geom_id)
        return all(
            sum(data.efc_force[address[with_object & ((first == pad) | (second == pad))]].tolist()) > 0.0
            for pad in pads
        )

    return touching


def _with_fast_rotation(method: Callable[[Any], np.ndarray]) -> Callable[[Any], np.ndarray]:
    """Returns a copy of a method for which the global name `Rotation` means `_Rotation`."""
    assert isinstance(method, FunctionType)
    return FunctionType(method.__code__, {**method.__globals__, "Rotation": _Rotation}, method.__name__)


class _Rotation:
    """The two methods of `scipy.spatial.transform.Rotation` that MetaWorld uses, for one orthogonal matrix `[3, 3]`."""

    def __init__(self, quaternion: np.ndarray) -> None:
        self._quaternion = quaternion

    @classmethod
    def from_matrix(cls, matrix: np.ndarray) -> _Rotation:
        """Converts a matrix by the formula with the largest divisor, as SciPy does (scalar last)."""
        m = matrix.tolist()
        trace = m[0][0] + m[1][1] + m[2][2]
        i = max(range(3), key=lambda axis: m[axis][axis])
        if trace >= m[i][i]:
            q = [m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1], 1.0 + trace]
        else:
            j, k = (i + 1) % 3, (i + 2) % 3
            q = [0.0] * 4
            q[i] = 1.0 - trace + 2.0 * m[i][i]
            q[j] = m[j][i] + m[i][j]
            q[k] = m[k][i] + m[i][k]
            q[3] = m[k][j] - m[j][k]
        norm = math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
        return cls(np.array([component / norm for component in q]))

    def as_quat(self) -> np.ndarray:
        """Returns the quaternion `[4]`, order xyzw."""
        return self._quaternion
