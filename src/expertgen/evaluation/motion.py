"""How a policy moves, beside whether it succeeds: smoothness, saturation, and nearness to the demonstrations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expertgen.tasks.spec import TaskSpec

PATH_POINTS = 32
"""Points that a path is resampled to before it is compared."""

HAND_FIELDS = ("hand_position", "palm_position", "left_hand_position", "right_hand_position")
"""Observation fields that tell where the hand is."""

SATURATED = 0.99
"""An action component of at least this size counts as saturated; the limit is 1."""


def action_jerk(actions: np.ndarray) -> float:
    """Root mean square third difference of the actions over time, per control step cubed.

    Actions range from -1 to 1, so a constant, linear or quadratic course has 0, independent noise of standard deviation
    s has √20 s ≈ 4.5 s, and flipping between -1 and 1 at every step has 8, the maximum.

    Args:
        actions: `[T, A]`.

    Returns:
        the jerk; NaN if there are fewer than four steps.
    """
    if len(actions) < 4:
        return float("nan")
    return float(np.sqrt(np.mean(np.square(np.diff(actions.astype(np.float64), n=3, axis=0)))))


def action_saturation(actions: np.ndarray) -> float:
    """Share of action components `[T, A]` at their limit, 0 to 1; NaN if there are none."""
    return float(np.mean(np.abs(actions) >= SATURATED)) if actions.size else float("nan")


def path_columns(task: TaskSpec) -> np.ndarray:
    """Columns of the observation that make up a path: the hand's position, or every length where there is no hand.

    Returns:
        int `[k]`; empty if the task names no field in metres, and then paths cannot be compared.
    """
    fields = [f for f in task.fields if f.name in HAND_FIELDS] or [f for f in task.fields if f.unit == "m"]
    return np.concatenate([np.arange(0), *(np.arange(f.start, f.stop) for f in fields)])


def resample_path(path: np.ndarray, points: int = PATH_POINTS) -> np.ndarray:
    """Resamples a path `[T, k]` to `[points, k]`, evenly in time, by linear interpolation. `T` is at least 1."""
    where = np.linspace(0, len(path) - 1, points)
    below = np.floor(where).astype(int)
    above = np.minimum(below + 1, len(path) - 1)
    share = (where - below)[:, None]
    return (1 - share) * path[below] + share * path[above]


def warping_distance(paths: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Dynamic time warping distance of every path to every reference.

    The symmetric form: a diagonal step counts twice, and the sum is divided by the two lengths together, which makes
    the result a mean distance between aligned points, in the unit of the paths.

        g(i, j) = min(g(i-1, j) + d(i, j),  g(i-1, j-1) + 2 d(i, j),  g(i, j-1) + d(i, j))
        distance = g(P, Q) / (P + Q)

    Args:
        paths: `[n, P, k]`.
        references: `[m, Q, k]`.

    Returns:
        float64 `[n, m]`.

    Source: Sakoe & Chiba, "Dynamic programming algorithm optimization for spoken word recognition", 1978.
    """
    count, length = paths.shape[0], paths.shape[1]
    others, width = references.shape[0], references.shape[1]
    points, targets = (np.moveaxis(x.astype(np.float64), 0, 2) for x in (paths, references))  # [P, k, n], [Q, k, m]
    # Cells (i, j) of one anti-diagonal i + j = s depend on the two before it alone: all are computed at once, for
    # all pairs. Row i + 1 of a diagonal holds cell (i, s - i); row 0 and rows beyond the table stay infinite.
    shape = (length + 1, count, others)
    older, old = np.full(shape, np.inf), np.full(shape, np.inf)
    for s in range(length + width - 1):
        i = np.arange(max(0, s - width + 1), min(length, s + 1))
        d = np.sqrt(np.square(points[i][..., None] - targets[s - i][:, :, None]).sum(axis=1))
        diagonal = older[i] + 2 * d if s else 2 * d
        now = np.full(shape, np.inf)
        now[i + 1] = np.minimum(np.minimum(old[i], old[i + 1]) + d, diagonal)
        older, old = old, now
    return old[length] / (length + width)


def distance_to_demonstrations(
    paths: Sequence[np.ndarray], demonstrations: Sequence[np.ndarray], most: int = 32
) -> np.ndarray:
    """How far each path is from the nearest demonstration, by dynamic time warping.

    Args:
        paths: `n` arrays `[T_i, k]`, lengths may differ.
        demonstrations: at least one array `[T_j, k]`.
        most: compare with at most so many demonstrations, spread evenly over the given order.

    Returns:
        float64 `[n]`, in the unit of the paths.
    """
    chosen = np.unique(np.linspace(0, len(demonstrations) - 1, most).round().astype(int))
    references = np.stack([resample_path(demonstrations[i]) for i in chosen])
    return warping_distance(np.stack([resample_path(path) for path in paths]), references).min(axis=1)
