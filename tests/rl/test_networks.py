"""Actor and critics against torch's and Stable-Baselines3's densities, and against critics evaluated one by one."""

import pytest
import torch
from torch import distributions

from expertgen.rl.networks import LOG_DEVIATION_RANGE, CriticEnsemble, TanhGaussianActor


def spread_actor(scale=20.0):
    """An untrained actor whose means and deviations differ from row to row."""
    torch.manual_seed(0)
    actor = TanhGaussianActor(observation_size=5, action_size=3, width=16, depth=2)
    with torch.no_grad():
        actor.head.weight.mul_(scale)
    return actor


@torch.no_grad()
def test_log_density_is_that_of_torch():
    actor, observation = spread_actor(), torch.randn(200, 5)
    action, log_density = actor.sample(observation, torch.randn(200, 3))
    mean, log_deviation = actor(observation)
    squashed = distributions.TransformedDistribution(
        distributions.Independent(distributions.Normal(mean.double(), log_deviation.double().exp()), 1),
        [distributions.TanhTransform(cache_size=1)],
    )
    inside = (action.abs() < 0.9999).all(dim=1)
    assert int(inside.sum()) > 150
    expected = squashed.log_prob(action.double()).float()
    torch.testing.assert_close(log_density[inside], expected[inside], rtol=1e-3, atol=2e-3)


@torch.no_grad()
def test_log_density_is_that_of_stable_baselines3():
    reference = pytest.importorskip("stable_baselines3.common.distributions")
    actor, observation = spread_actor(), torch.randn(200, 5)
    normal = torch.randn(200, 3)
    action, log_density = actor.sample(observation, normal)
    mean, log_deviation = actor(observation)
    squashed = reference.SquashedDiagGaussianDistribution(3).proba_distribution(mean, log_deviation)
    before_tanh = mean + log_deviation.exp() * normal
    expected = squashed.log_prob(action, before_tanh)
    # The reference adds 1e-6 inside its logarithm, which tells where tanh is flat.
    inside = (action.abs() < 0.99).all(dim=1)
    assert int(inside.sum()) > 100
    torch.testing.assert_close(log_density[inside], expected[inside], rtol=1e-4, atol=1e-3)


def test_log_density_is_finite_far_out():
    actor = spread_actor()
    with torch.no_grad():
        actor.head.bias[:3] = 50.0
    action, log_density = actor.sample(torch.randn(4, 5), torch.randn(4, 3))
    assert bool(torch.isfinite(log_density).all())
    log_density.sum().backward()
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in actor.parameters())
    assert float(action.detach().abs().max()) <= 1


@torch.no_grad()
def test_deviations_are_clamped():
    actor = spread_actor()
    with torch.no_grad():
        actor.head.bias[3:] = torch.tensor([-100.0, 0.0, 100.0])
    _, log_deviation = actor(torch.zeros(1, 5))
    assert float(log_deviation[0, 0]) == LOG_DEVIATION_RANGE[0]
    assert float(log_deviation[0, 2]) == LOG_DEVIATION_RANGE[1]


@torch.no_grad()
def test_an_untrained_actor_explores_around_zero():
    actor = TanhGaussianActor(5, 3, 16, 2)
    mean, log_deviation = actor(torch.randn(100, 5))
    assert float(mean.abs().max()) < 0.3
    assert float(log_deviation.abs().max()) < 0.3


@pytest.mark.parametrize("exact", [False, True])
@torch.no_grad()
def test_critics_side_by_side_are_critics_one_by_one(exact):
    torch.manual_seed(1)
    ensemble = CriticEnsemble(critics=3, observation_size=4, action_size=2, width=8, depth=3, exact=exact)
    for shift in ensemble.body.shifts:
        shift.normal_()
    ensemble.bias.normal_()
    observation, action = torch.randn(10, 4), torch.randn(10, 2)
    together = ensemble(observation, action)
    assert together.shape == (3, 10)
    for i in range(3):
        x = torch.cat([observation, action], dim=1)
        body = ensemble.body
        biases = [bias[i] for bias in body.biases] if exact else [0.0] * 3
        for weight, bias, shift in zip(body.weights, biases, body.shifts, strict=True):
            x = torch.relu(torch.nn.functional.layer_norm(x @ weight[i] + bias, (8,)) + shift[i])
        alone = (x @ ensemble.weight[i]).squeeze(1) + ensemble.bias[i, 0, 0]
        torch.testing.assert_close(together[i], alone, rtol=0.02, atol=0.02)  # where products are in bfloat16
    assert not torch.equal(together[0], together[1])


@torch.no_grad()
def test_twice_as_fast_does_not_look_the_same_to_exact_networks():
    # LayerNorm takes the length of what it is given: only a bias before it keeps the length of an observation.
    torch.manual_seed(0)
    observation, action = torch.randn(10, 4), torch.randn(10, 2)
    critics = CriticEnsemble(critics=2, observation_size=4, action_size=2, width=64, depth=1, exact=True)
    values, others = critics(observation, action), critics(2 * observation, 2 * action)
    assert float((values - others).abs().mean()) > 0.05 * float(values.std())
    actor = TanhGaussianActor(4, 2, 64, 1, exact=True)
    assert not torch.allclose(actor(observation)[0], actor(2 * observation)[0], atol=1e-4)


def test_exact_networks_tell_inputs_apart_that_bfloat16_does_not(monkeypatch):
    monkeypatch.setattr("expertgen.rl.networks.fast_bfloat16", lambda device: True)
    critic = CriticEnsemble(2, 3, 1, 16, 2, exact=True)
    one, other = (critic(torch.full((1, 3), x), torch.zeros(1, 1)) for x in (1.0, 1.003))
    assert not torch.equal(one, other)


@torch.no_grad()
def test_an_actor_acts_at_its_mode_or_at_a_sample():
    actor, observation, normal = spread_actor(), torch.randn(20, 5), torch.randn(20, 3)
    torch.testing.assert_close(actor.act(observation), actor(observation)[0].tanh())
    torch.testing.assert_close(actor.act(observation, normal), actor.sample(observation, normal)[0])
