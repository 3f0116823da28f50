"""Seeds by name: fixed for ever, and independent of one another."""

import itertools

import numpy as np
import torch

from expertgen.runs.seeding import derive_seed, numpy_generator, seeded_weights, torch_generator


def test_seeds_are_fixed_for_ever():
    # 1955650800 is the CRC-32 of "steer": Python's own hash of a string differs from process to process.
    assert derive_seed(7, "steer", 3) == np.random.SeedSequence([7, 2, 1955650800, 3]).generate_state(1)[0] >> 1
    assert derive_seed(7, "steer", 3) == 381252664
    assert derive_seed(0, "prior", "weights") == 353775298


def test_zeros_at_the_end_count():
    assert len({derive_seed(0, "a"), derive_seed(0, "a", 0), derive_seed(0, "a", 0, 0)}) == 3


def test_names_order_and_seed_all_matter():
    words = ["prior", "steer", "weights", "segment", 1, 2, 1000]
    paths = [path for length in (1, 2, 3) for path in itertools.permutations(words, length)]
    seeds = [derive_seed(seed, *path) for seed in range(5) for path in paths]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_streams_of_neighbouring_names_are_uncorrelated():
    draws = np.stack([numpy_generator(0, "segment", i).standard_normal(4000) for i in range(20)])
    correlation = np.corrcoef(draws) - np.eye(20)
    # 190 pairs of standard error 1/sqrt(4000) = .016: five of them are out of reach of chance.
    assert np.abs(correlation).max() < 0.08


def test_generators_start_alike_and_apart():
    assert numpy_generator(1, "a").random() == numpy_generator(1, "a").random()
    first, again, other = (torch.rand(8, generator=torch_generator(1, name)) for name in "aab")
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_seeded_weights_leave_the_global_stream_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded_weights(0, "network"):
        first = torch.nn.Linear(4, 4).weight
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(6)
    with seeded_weights(0, "network"):
        assert torch.equal(torch.nn.Linear(4, 4).weight, first)
    with seeded_weights(1, "network"):
        assert not torch.equal(torch.nn.Linear(4, 4).weight, first)
