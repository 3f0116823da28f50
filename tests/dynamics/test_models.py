"""The models by themselves: likelihoods against references, standardisation, both kinds of targets, predictions."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

from expertgen.dynamics.ensemble import (
    BOUND_PENALTY,
    DeterministicEnsemble,
    GaussianEnsemble,
    VarianceBounds,
    gaussian_nll,
)
from expertgen.dynamics.mixture import MixtureEnsemble, mixture_nll
from expertgen.dynamics.model import ModelConfig, ParallelNetworks, Standardizer
from expertgen.errors import UsageError
from tests.dynamics.toys import toy

TINY = ModelConfig(members=3, elites=2, width=16, depth=2)
KINDS = [GaussianEnsemble, DeterministicEnsemble, MixtureEnsemble]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randomised(kind, config=TINY, seed=0):
    """A model with biases, too, so that no part of it is zero."""
    torch.manual_seed(seed)
    model = kind(2, 1, config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    model.fit_normalizers(toy(200, 0))
    return model


def test_gaussian_likelihood_by_hand_and_by_scipy():
    # Mean 1, variance 4, target 3: 0.5 · (4 / 4 + ln 4 + ln 2π).
    by_hand = gaussian_nll(torch.tensor(1.0), torch.tensor(math.log(4.0)), torch.tensor(3.0))
    assert float(by_hand) == pytest.approx(0.5 * (1 + math.log(4) + math.log(2 * math.pi)))
    mean, log_variance, target = torch.randn(3, 4, 5, generator=generator())
    expected = -scipy.stats.norm.logpdf(target, mean, (0.5 * log_variance).exp())
    np.testing.assert_allclose(gaussian_nll(mean, log_variance, target), expected, rtol=1e-5)


def test_mixture_likelihood_against_torch_distributions_and_in_the_tails():
    share, mean, log_variance = torch.randn(3, 4, 5, 3, generator=generator())
    target = torch.randn(4, 5, generator=generator(1))
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=share), torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    )
    ours = mixture_nll(share.log_softmax(-1), mean, log_variance, target)
    torch.testing.assert_close(ours, -mixture.log_prob(target))
    # Far out every density underflows in float32; their logarithm does not.
    far = mixture_nll(torch.tensor([0.25, 0.75]).log(), torch.zeros(2), torch.zeros(2), torch.tensor(100.0))
    assert float(far) == pytest.approx(5000 + 0.5 * math.log(2 * math.pi))


def test_variance_bounds_by_hand():
    bounds = VarianceBounds(1, 2)
    clamped = bounds(torch.tensor([[[-100.0, 100.0], [-4.0, -4.0]]]), None)
    torch.testing.assert_close(clamped[0, 0], torch.tensor([-10.0, 0.5]), atol=1e-4, rtol=0)
    upper = 0.5 - math.log1p(math.exp(4.5))
    expected = -10 + math.log1p(math.exp(upper + 10))
    torch.testing.assert_close(clamped[0, 1], torch.full((2,), expected))
    assert bounds.penalty().item() == pytest.approx(BOUND_PENALTY * 2 * 10.5)


def test_the_loss_of_a_gaussian_ensemble_is_its_likelihood_and_the_penalty():
    model, batch = randomised(GaussianEnsemble), toy(12, 1)[torch.arange(12).view(3, 4)]
    mean, log_variance = model(batch.observation, batch.action)
    normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = -normal.log_prob(model.target(batch)).mean(-1) + model.bounds.penalty()
    assert model.loss(batch).shape == (3, 4)
    torch.testing.assert_close(model.loss(batch), expected)


def test_the_loss_of_a_deterministic_ensemble_is_the_squared_error():
    model, batch = randomised(DeterministicEnsemble), toy(12, 1)[torch.arange(12).view(3, 4)]
    (point,) = model(batch.observation, batch.action)
    torch.testing.assert_close(model.loss(batch), ((point - model.target(batch)) ** 2).sum(-1) / 3)


def test_standardisation_by_hand_and_back():
    scale = Standardizer(2)
    scale.fit(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    # Mean 2, deviation 1; a constant column is only shifted.
    assert scale(torch.tensor([[3.0, 6.0], [1e6, 5.0]])).tolist() == [[1.0, 1.0], [10.0, 0.0]]
    x = torch.randn(20, 2, generator=generator())
    torch.testing.assert_close(scale.inverse(scale(x)), x)
    assert scale.inverse(torch.tensor([[1e6, 0.0]])).tolist() == [[12.0, 5.0]]


def test_every_target_is_standardised_reward_included_and_extremes_are_clipped():
    data = toy(5000, 0)
    data.reward[:] = data.reward * 1e4 + 3e5
    model = randomised(GaussianEnsemble)
    model.fit_normalizers(data)
    target = model.target(data)
    torch.testing.assert_close(target.mean(dim=0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(target.std(dim=0), torch.ones(3), atol=1e-3, rtol=0)
    data.reward[7] = 1e9
    assert model.target(data)[7, 2] == 10


@pytest.mark.parametrize("kind", KINDS)
def test_residual_and_direct_targets_give_the_same_prediction_where_the_networks_are_right(kind, monkeypatch):
    data = toy(50, 0)
    for residual in (True, False):
        model = randomised(kind, replace(TINY, residual=residual))
        model.fit_normalizers(data)
        target = model.target(data)
        monkeypatch.setattr(model, "mean", lambda distribution, target=target: target.expand(3, -1, -1))
        state, reward = model.expectation(data.observation, data.action)
        for member in range(3):
            torch.testing.assert_close(state[member], data.next_observation)
            torch.testing.assert_close(reward[member], data.reward)


def test_networks_by_hand_and_each_member_is_its_own(monkeypatch):
    monkeypatch.setattr("expertgen.dynamics.model.fast_bfloat16", lambda device: False)
    networks = ParallelNetworks(2, 3, 4, 1, 2)
    with torch.no_grad():
        for bias in networks.biases:
            bias.normal_()
    x = torch.randn(2, 5, 3)
    for member in range(2):
        first, second = (w[member].detach().numpy() for w in networks.weights)
        b1, b2 = (b[member].detach().numpy() for b in networks.biases)
        hidden = x[member].numpy() @ first + b1
        expected = hidden / (1 + np.exp(-hidden)) @ second + b2
        np.testing.assert_allclose(networks(x)[member].detach(), expected, atol=1e-6)
    chosen = networks(x.flip(0), torch.tensor([1, 0])).flip(0)
    torch.testing.assert_close(chosen, networks(x))


def test_inputs_are_told_apart_that_bfloat16_does_not_tell_apart(monkeypatch):
    monkeypatch.setattr("expertgen.dynamics.model.fast_bfloat16", lambda device: True)
    networks = ParallelNetworks(2, 3, 16, 2, 2)
    assert not torch.equal(networks(torch.full((2, 1, 3), 1.0)), networks(torch.full((2, 1, 3), 1.003)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_elite_and_no_other_member_predicts_an_equal_share(kind, monkeypatch):
    model, data = randomised(kind), toy(7, 1)
    monkeypatch.setattr(model, "sample", lambda distribution, _: model.mean(distribution))
    model.elites.copy_(torch.tensor([2, 0]))
    states, rewards = model.expectation(data.observation, data.action)
    shares = set()
    for seed in range(10):
        state, reward = model.predict(data.observation, data.action, generator(seed))
        fits = (states - state).abs().amax(dim=2) + (rewards - reward).abs() < 1e-6
        assert not fits[1].any()
        assert (fits.sum(dim=0) == 1).all()
        shares.add(tuple(fits[[2, 0]].sum(dim=1).tolist()))
    # One of seven rows is left over; it goes to the first elite, and which row that is differs.
    assert shares == {(4, 3)}


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_moments_of_the_distribution(kind):
    model = randomised(kind, replace(TINY, members=1, elites=1))
    observation, action = torch.tensor([[0.3, -0.2]]), torch.tensor([[0.5]])
    state, reward = model.predict(observation.expand(20000, -1), action.expand(20000, -1), generator())
    expected, _ = model.expectation(observation, action)
    distribution = model(observation, action)
    if kind is DeterministicEnsemble:
        variance = torch.zeros(3)
    elif kind is GaussianEnsemble:
        variance = distribution[1][0, 0].exp()
    else:
        share, mean, log_variance = (x[0, 0] for x in distribution)
        second = (share.exp() * (mean**2 + log_variance.exp())).sum(-1)
        variance = second - (share.exp() * mean).sum(-1) ** 2
    deviation = variance.sqrt() * model.target_scale.deviation
    tolerance = 5 * deviation.max().item() / 20000**0.5 + 1e-5
    torch.testing.assert_close(state.mean(dim=0), expected[0, 0], atol=tolerance, rtol=0)
    torch.testing.assert_close(state.std(dim=0), deviation[:2], rtol=0.03, atol=1e-5)
    torch.testing.assert_close(reward.std(), deviation[2], rtol=0.03, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_reproducible_and_carry_no_gradient(kind):
    model, data = randomised(kind), toy(2200, 1)
    one, two = (model.predict(data.observation, data.action, generator()) for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert not one[0].requires_grad
    assert not torch.equal(one[0], model.predict(data.observation, data.action, generator(1))[0])
    assert model.predict(data.observation[:0], data.action[:0], generator())[0].shape == (0, 2)


def test_impossible_sizes_are_refused():
    with pytest.raises(UsageError, match=r"model\.depth must be at least 1, not 0"):
        ModelConfig(depth=0)
    with pytest.raises(UsageError, match=r"model\.elites must be at most model\.members \(3\), not 4"):
        ModelConfig(members=3, elites=4)
