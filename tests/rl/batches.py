"""A random batch that the tests of the agents share."""

import torch

from expertgen.rl.replay import Batch


def random_batch(seed=0, rows=32):
    """Three observations and two numbers of action; a fifth of the rows end in success."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(rows, *shape, generator=generator)

    done = (rand() < 0.2).float()
    return Batch(rand(3), 2 * rand(2) - 1, done, rand(3), 0.9 * (1 - done))
