"""Inversion: the noise behind a chunk is found again, in every space of noises."""

import pytest
import torch

from expertgen.steering.inversion import invert
from expertgen.steering.noise import NoiseSpace


@pytest.mark.parametrize("rank", [0, 2])
def test_chunks_of_the_prior_are_made_again(prior, rank):
    space = NoiseSpace(1.5, rank)
    generator = torch.Generator().manual_seed(0)
    seen = prior.normalize(2 * torch.rand(64, 4, generator=generator) - 1)
    chosen = 2 * torch.rand(64, space.action_size(prior.noise_shape), generator=generator) - 1
    chunk = prior.decode_normalized(seen, space.noise(chosen, prior.noise_shape))
    action, error = invert(prior, space, seen, chunk)
    without = prior.decode_normalized(seen, space.noise(torch.zeros_like(chosen), prior.noise_shape))
    before = (without - chunk).square().mean(dim=(1, 2))
    assert float(error.mean()) < 0.05 * float(before.mean())
    assert float(action.abs().max()) <= 1
    made = prior.decode_normalized(seen, space.noise(action, prior.noise_shape))
    torch.testing.assert_close((made - chunk).square().mean(dim=(1, 2)), error)


def test_rows_do_not_disturb_each_other(prior):
    space, generator = NoiseSpace(), torch.Generator().manual_seed(0)
    seen, chunk = prior.normalize(torch.rand(6, 4, generator=generator)), torch.rand(6, 4, 2, generator=generator)
    together, _ = invert(prior, space, seen, chunk)
    alone, _ = invert(prior, space, seen[2:3], chunk[2:3])
    torch.testing.assert_close(together[2:3], alone, rtol=0, atol=0.02)
