"""The pure functions by hand, against scipy, under permutations and at their edges."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import logsumexp
from torch.autograd import gradcheck

from expertgen.dynamics.weighting import tom

# Denormals are flushed to zero by `prepare_process`.
FLOATS = st.floats(-50, 50, width=32, allow_subnormal=False)
RESIDUALS = st.lists(FLOATS, min_size=1, max_size=60)
WEIGHTS = st.lists(st.floats(0, 1e4, width=32, allow_subnormal=False), min_size=1, max_size=60)


SHARES = st.floats(0, 1, allow_subnormal=False)


def float64(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def normal(rows, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(rows, generator=generator, dtype=torch.float64)


def test_residual_by_hand():
    arguments = (
        float64(1, 1, 1),
        float64(2, 2, 2),
        float64(10, 20, 30),
        float64(4, 6),
        torch.tensor([False, True, False]),
        0.5,
    )
    assert tom.residual(*arguments).tolist() == [1 + 5 - 2, 1 + 2.5 - 2, 1 + 15 - 2]
    assert tom.residual(*arguments, "mask").tolist() == [1 + 5 - 2, 1 - 2, 1 + 15 - 2]


def test_conjugates_by_hand():
    e = float64(-3, -1, 0, 2)
    assert tom.chi_square_conjugate(e).tolist() == [-0.5, -0.5, 0, 4]
    assert tom.quadratic_conjugate(e).tolist() == [1.5, -0.5, 0, 4]


def test_the_conjugate_is_the_supremum_of_its_definition():
    x = np.linspace(0, 10, 100001)
    for e in (-2.5, -1.0, 0.3, 4.0):
        supremum = (e * x - 0.5 * (x - 1) ** 2).max()
        assert float(tom.chi_square_conjugate(float64(e))[0]) == pytest.approx(supremum, abs=1e-8)


def test_chi_square_weights_by_hand():
    # Two rows stay: 1 + e - λ = (3 - λ, 2 - λ, 0, 0) sums to 4 at λ = .5.
    e = float64(2, 1, -3, -9)
    assert float(tom.sparsemax_shift(e)) == pytest.approx(0.5)
    assert tom.chi_square_weights(e).tolist() == pytest.approx([2.5, 1.5, 0, 0])


def test_kl_weights_by_hand():
    assert tom.kl_weights(float64(np.log(6), np.log(2), 0, 0)).tolist() == pytest.approx([2.4, 0.8, 0.4, 0.4])


def test_the_shift_solves_its_equation():
    e = normal(500)

    def excess(shift):
        return np.maximum(1 + e.numpy() - shift, 0).mean() - 1

    assert float(tom.sparsemax_shift(e)) == pytest.approx(brentq(excess, -50, 50, xtol=1e-13), abs=1e-10)


def test_dual_losses_by_hand():
    e, start = float64(2, 1, -3, -9), float64(1, 3)
    # KL: .25 · 2 + log mean exp e.  χ²: λ = .5, so ½ (2.5² + 1.5²) / 4 - ½ + λ.  Quadratic: mean -2.25 and half the
    # variance.
    assert float(tom.dual_loss(e, start, 0.75, "kl")) == pytest.approx(0.5 + logsumexp([2, 1, -3, -9]) - np.log(4))
    assert float(tom.dual_loss(e, start, 0.75, "chi2")) == pytest.approx(0.5 + 8.5 / 8 - 0.5 + 0.5)
    assert float(tom.dual_loss(e, start, 0.75, "chi2", "quadratic")) == pytest.approx(0.5 - 2.25 + 18.6875 / 2)


@pytest.mark.parametrize("options", [("kl",), ("chi2", "exact"), ("chi2", "quadratic")])
def test_gradients(options):
    e, start = normal(12).requires_grad_(), normal(5, 1).requires_grad_()
    assert gradcheck(lambda e, start: tom.dual_loss(e, start, 0.9, *options), (e, start))
    (slope,) = torch.autograd.grad(tom.dual_loss(e, start, 0.9, *options), e)
    if options != ("chi2", "quadratic"):
        # The gradient of the dual is the weight: what the multiplier sees is what the model is trained with.
        weights = tom.kl_weights(e) if options == ("kl",) else tom.chi_square_weights(e)
        torch.testing.assert_close(12 * slope, weights.detach())


def test_gradients_of_the_residual():
    log_ratio, value, following, start = (normal(6, seed).requires_grad_() for seed in range(4))
    ends = torch.tensor([True, False] * 3)
    for termination in ("regenerate", "mask"):
        assert gradcheck(lambda *x, t=termination: tom.residual(*x, ends, 0.9, t), (log_ratio, value, following, start))


@pytest.mark.parametrize("weigh", [tom.kl_weights, tom.chi_square_weights])
@pytest.mark.parametrize("divergence", ["kl", "chi2"])
def test_a_constant_in_the_multiplier_changes_nothing(weigh, divergence):
    log_ratio, value, following, start = (normal(300, seed) for seed in range(4))
    ends = torch.arange(300) % 7 == 0

    def evaluate(c):
        e = tom.residual(log_ratio, value + c, following + c, start + c, ends, 0.9)
        return weigh(e), tom.dual_loss(e, start + c, 0.9, divergence)

    for here, there in zip(evaluate(0.0), evaluate(123.0), strict=True):
        torch.testing.assert_close(here, there, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("weigh", [tom.kl_weights, tom.chi_square_weights])
@pytest.mark.parametrize("rows", [1, 3, 49, 1000, 99991])
@pytest.mark.parametrize("constant", [0.0, 0.1, -4.7, 1e3])
def test_equal_residuals_give_uniform_weights_bit_for_bit(weigh, rows, constant):
    weights = tom.mixed(tom.bounded(weigh(torch.full((rows,), constant)), 0.0, 10.0), 0.7)
    assert torch.equal(weights, torch.ones(rows))


@pytest.mark.parametrize("weigh", [tom.kl_weights, tom.chi_square_weights])
def test_no_mixing_gives_uniform_weights_bit_for_bit(weigh):
    weights = tom.mixed(tom.bounded(weigh(normal(999).float()), 0.0, 10.0), 0.0)
    assert torch.equal(weights, torch.ones(999))


@given(RESIDUALS)
@settings(deadline=None, max_examples=40)
def test_weights_have_mean_one_and_keep_the_order(numbers):
    e = torch.tensor(numbers, dtype=torch.float64)
    for weigh in (tom.kl_weights, tom.chi_square_weights):
        weights = weigh(e)
        assert float(weights.mean()) == pytest.approx(1, abs=1e-9)
        assert float(weights.min()) >= 0
        assert bool((weights[e.argsort()].diff() >= -1e-12).all())


@given(WEIGHTS, SHARES, st.floats(1, 20), SHARES)
@settings(deadline=None, max_examples=60)
def test_bounds_and_mean_hold_together(numbers, low, high, mix):
    weights = torch.tensor(numbers, dtype=torch.float64)
    result = tom.bounded(weights, low, high)
    for w in (result, tom.mixed(result, mix)):
        assert float(w.mean()) == pytest.approx(1, abs=1e-8)
        assert float(w.min()) >= low - 1e-12
        assert float(w.max()) <= high + 1e-12
    torch.testing.assert_close(tom.bounded(result, low, high), result, rtol=1e-7, atol=1e-7)


def test_bounded_by_hand():
    # 12 is cut to 3, and the rest has mean 1 already.
    assert tom.bounded(float64(12, 1, 0, 0), 0.0, 3.0).tolist() == pytest.approx([3, 1, 0, 0])
    # To 2: (2, 1 + x, x, x), so x = 1/3.
    assert tom.bounded(float64(12, 1, 0, 0), 0.0, 2.0).tolist() == pytest.approx([2, 4 / 3, 1 / 3, 1 / 3])
    # With a floor of ½: (2, 1, ½, ½) has mean 1.
    assert tom.bounded(float64(12, 1, 0, 0), 0.5, 2.0).tolist() == pytest.approx([2, 1, 0.5, 0.5])


def test_bounded_is_the_nearest_point():
    weights = tom.kl_weights(normal(400, scale=3.0))
    low, high = 0.05, 5.0
    result = tom.bounded(weights, low, high)

    def excess(level):
        return np.clip(weights.numpy() - level, low, high).mean() - 1

    level = brentq(excess, -200, 200, xtol=1e-14)
    np.testing.assert_allclose(result.numpy(), np.clip(weights.numpy() - level, low, high), atol=1e-10)
    assert float(weights.max()) > high


def test_bounds_that_hold_already_change_nothing():
    weights = tom.chi_square_weights(normal(200))
    torch.testing.assert_close(tom.bounded(weights, 0.0, 50.0), weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weights", [[0.0] * 7, [5.0] * 7, [0.0]])
def test_degenerate_weights_become_uniform(weights):
    assert tom.bounded(torch.tensor(weights), 0.0, 10.0).tolist() == [1.0] * len(weights)


def test_few_positive_weights_are_filled_up():
    weights = torch.zeros(100)
    weights[3] = 100
    result = tom.bounded(weights, 0.0, 10.0)
    assert float(result[3]) == pytest.approx(10)
    assert float(result[4]) == pytest.approx(90 / 99)


def test_extreme_residuals_stay_finite():
    e = torch.tensor([-1e30, 0.0, 1e4, 1e4 + 1])
    for weights in (tom.kl_weights(e), tom.chi_square_weights(e)):
        assert bool(torch.isfinite(weights).all())
        assert float(weights.mean()) == pytest.approx(1)
    assert bool(torch.isfinite(tom.dual_loss(e[1:], e[:0].new_zeros(1), 0.9, "kl")))


def test_order_of_the_buffer_does_not_matter():
    e, shuffled = normal(1000), torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    for function in (tom.kl_weights, tom.chi_square_weights, lambda e: tom.bounded(e.exp(), 0.05, 3.0)):
        torch.testing.assert_close(function(e[shuffled]), function(e)[shuffled], rtol=1e-12, atol=1e-12)
    start = normal(3)
    for options in (("kl",), ("chi2", "exact"), ("chi2", "quadratic")):
        losses = [tom.dual_loss(rows, start, 0.9, *options) for rows in (e, e[shuffled])]
        torch.testing.assert_close(*losses, rtol=1e-12, atol=1e-12)


def test_effective_sample_size_by_hand():
    assert float(tom.effective_sample_size(torch.ones(8))) == 1
    assert float(tom.effective_sample_size(torch.tensor([4.0, 0, 0, 0]))) == 0.25
    assert float(tom.effective_sample_size(torch.tensor([3.0, 1, 0, 0]))) == pytest.approx(16 / 40)
