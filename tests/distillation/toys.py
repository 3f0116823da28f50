"""A task, an expert and sizes that make a distillation a matter of a second."""

from __future__ import annotations

import numpy as np

from expertgen.distillation.dagger import DistillConfig
from expertgen.runs.seeding import numpy_generator
from expertgen.tasks.registry import get_task

TASK = get_task("peg-insert-side")
CONFIG = DistillConfig(
    iterations=2,
    final_iterations=1,
    decisions=6,
    num_envs=2,
    updates=5,
    batch_size=8,
    width=16,
    points=32,
    train_points=16,
)


class ReachingExpert:
    """Moves the hand towards the peg. It sees the state, counts its plans, and may be made to jitter."""

    chunk_length = 4

    def __init__(self, seed: int = 0, jitter: float = 0.0) -> None:
        self._generator = numpy_generator(seed, "jitter")
        self._jitter = jitter
        self.plans = 0

    def reset(self, ids: np.ndarray) -> None:
        """Remembers nothing."""

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        self.plans += len(ids)
        action = np.zeros((len(ids), 4, 4), np.float32)
        action[..., :3] = 10 * (observation[:, None, 4:7] - observation[:, None, :3])
        action += self._jitter * self._generator.standard_normal(action.shape, np.float32)
        return action.clip(-1, 1)
