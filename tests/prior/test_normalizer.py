"""Normalisation of observations, by hand."""

import torch

from expertgen.prior.normalizer import Normalizer


def test_by_hand():
    normalizer = Normalizer.fit(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    # Mean 2, deviation 1 + .001; a constant column has the floor alone.
    torch.testing.assert_close(normalizer.mean, torch.tensor([2.0, 5.0]))
    torch.testing.assert_close(normalizer.deviation, torch.tensor([1.001, 0.001]))
    torch.testing.assert_close(normalizer(torch.tensor([[3.0, 5.0]])), torch.tensor([[1 / 1.001, 0.0]]))


def test_unseen_values_cannot_explode():
    normalizer = Normalizer.fit(torch.zeros(10, 1))
    assert normalizer(torch.tensor([[1.0], [-1e6], [1e30]])).tolist() == [[8.0], [-8.0], [8.0]]


def test_large_offsets_keep_their_precision():
    rows = 1000.0 + torch.tensor([[-0.01], [0.01]]).repeat(5000, 1)
    torch.testing.assert_close(Normalizer.fit(rows).deviation, torch.tensor([0.011]), rtol=0.01, atol=0)


def test_travels_in_the_state():
    fitted, other = Normalizer.fit(torch.randn(20, 3)), Normalizer(3)
    other.load_state_dict(fitted.state_dict())
    x = torch.randn(2, 5, 3)
    assert torch.equal(other(x), fitted(x))
