"""The tabular oracle: KL weights are the exact occupancy ratio, χ² weights the exact solution of the primal."""

import numpy as np
import pytest

from tests.dynamics.weighting.tabular import dual_weights, primal_chi_square, primal_objective, random_mdp

SEEDS = range(5)


def exact(mdp):
    ratio = mdp.occupancy() / mdp.buffer
    return ratio, np.log(ratio)


@pytest.mark.parametrize("terminals", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_oracle_itself_keeps_to_the_flow(seed, terminals):
    mdp = random_mdp(seed, terminals)
    occupancy = mdp.occupancy()
    assert occupancy.sum() == pytest.approx(1)
    assert np.abs(mdp.flow(occupancy)).max() < 1e-12


@pytest.mark.parametrize("multiplier", ["action", "state"])
@pytest.mark.parametrize("terminals", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_kl_weights_are_the_exact_occupancy_ratio(seed, terminals, multiplier):
    mdp = random_mdp(seed, terminals)
    ratio, log_ratio = exact(mdp)
    start = np.random.default_rng(seed).normal(size=(4, 1))
    weights, _, table = dual_weights(mdp, log_ratio, "kl", multiplier=multiplier, start=start)
    assert np.abs(weights - ratio).max() < 1e-6
    assert float(table.max() - table.min()) < 1e-5, "the multiplier is constant: nothing is left to correct"


@pytest.mark.parametrize("divergence", ["kl", "chi2"])
@pytest.mark.parametrize("terminals", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_weights_solve_the_primal_for_a_wrong_ratio(seed, terminals, divergence):
    mdp = random_mdp(seed, terminals)
    wrong = exact(mdp)[1] + np.random.default_rng(seed).normal(size=mdp.counts.shape)
    weights, dual, _ = dual_weights(mdp, wrong, divergence)
    assert np.abs(mdp.flow(mdp.buffer * weights)).max() < 1e-6, "some dynamics have this occupancy"
    # A feasible point that reaches the dual is the optimum, whatever found it.
    assert primal_objective(mdp, wrong, weights, divergence) == pytest.approx(dual, abs=1e-6)
    if divergence == "chi2":
        assert (weights == 0).any(), "this case needs the flat part of the conjugate"
        assert np.abs(weights - primal_chi_square(mdp, wrong)).max() < 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_chi_square_weights_solve_the_primal_for_the_exact_ratio(seed):
    mdp = random_mdp(seed)
    ratio, log_ratio = exact(mdp)
    weights, _, table = dual_weights(mdp, log_ratio, "chi2")
    assert np.abs(weights - primal_chi_square(mdp, log_ratio)).max() < 1e-4
    # They are not the ratio, but grow with it, and less so.
    assert np.abs(weights - ratio).max() > 0.05
    assert weights.max() < ratio.max()
    assert np.corrcoef(weights.ravel(), log_ratio.ravel())[0, 1] > 0.75
    assert float(table.max() - table.min()) > 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_the_quadratic_conjugate_agrees_where_no_weight_is_zero(seed):
    mdp = random_mdp(seed)
    # Far from the buffer's own flow some weights must be zero, so the buffer is nearly the occupancy itself.
    mdp.counts = np.maximum(np.round(20000 * mdp.occupancy()), 1).astype(int)
    mild = exact(mdp)[1] + 0.1 * np.random.default_rng(seed).normal(size=mdp.counts.shape)
    exact_weights = dual_weights(mdp, mild, "chi2")[0]
    assert exact_weights.min() > 0
    np.testing.assert_allclose(dual_weights(mdp, mild, "chi2", "quadratic")[0], exact_weights, atol=1e-4)
