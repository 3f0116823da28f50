"""Small demonstrations of the toy task."""

import numpy as np

from expertgen.demos.store import Demo, DemoSet, fields_of
from tests.toys import point_task


def demo(steps=5, seed=0, success=True, source="test"):
    generator = np.random.default_rng(seed)
    observations = generator.normal(size=(steps, 4)).astype(np.float32)
    actions = generator.uniform(-1, 1, (steps, 2)).astype(np.float32)
    return Demo(observations, actions, generator.normal(size=steps).astype(np.float32), success, seed, source)


def demo_set(count=3, notes=()):
    task = point_task()
    return DemoSet(
        task.id, fields_of(task), tuple(demo(4 + i, seed=i, success=i % 2 == 0) for i in range(count)), notes
    )
