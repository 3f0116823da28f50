"""DPPO: likelihoods against torch's, the sampler's path, one update, and the same bits again."""

from dataclasses import replace

import pytest
import torch

from expertgen.baselines.dppo import DppoAgent, DppoConfig, denoising_step, log_likelihood
from expertgen.errors import UsageError
from expertgen.prior.diffusion import cosine_schedule
from expertgen.prior.prior import DiffusionPrior, PriorConfig
from expertgen.rl.replay import Rollout

SMALL = DppoConfig(width=16, depth=1, rounds=4, batch_size=64, epochs=4, critic_updates=0, learning_rate=1e-3)


def make_agent(config=SMALL):
    torch.manual_seed(0)
    prior = DiffusionPrior("toy", PriorConfig(chunk_length=2, levels=8, sampler_steps=4, width=32, depth=1), 3, 2)
    prior.network.requires_grad_(False)
    return DppoAgent(prior, config, torch.Generator().manual_seed(0))


def rollout_of(agent, reward_of, rounds=4, envs=64):
    """Episodes of one decision, whose chunk says what they earn."""
    observation = torch.zeros(rounds, envs, 3)
    action = torch.stack([agent.explore(rows) for rows in observation])
    reward = reward_of(action[..., -4:])
    ends = torch.ones(rounds, envs, dtype=torch.bool)
    return Rollout(observation, action, reward, observation, ends, ~ends, 0.97)


def right(chunk):
    return (chunk.mean(dim=-1) > 0.3).float()


def test_the_likelihood_is_that_of_the_gaussian_it_was_drawn_from():
    x, mean = torch.randn(2, 5, 3, 2).unbind()
    deviation = torch.rand(5, 1, 1) + 0.1
    expected = torch.distributions.Normal(mean, deviation).log_prob(x).sum(dim=(1, 2))
    torch.testing.assert_close(log_likelihood(x, mean, deviation), expected)
    by_hand = log_likelihood(torch.full((1, 1, 1), 3.0), torch.ones(1, 1, 1), torch.full((1, 1, 1), 2.0))
    assert float(by_hand) == pytest.approx(-0.5 - 0.6931472 - 0.9189385)


def test_steps_of_all_levels_are_those_of_ancestral_sampling():
    """Where the sampler visits every level, DDIM with η = 1 is DDPM (Ho et al. 2020, eq. 7)."""
    alpha_bar = cosine_schedule(6)
    timesteps, x = torch.arange(5, -1, -1), 0.3 * torch.randn(6, 2, 1)
    noise = 0.1 * torch.randn(6, 2, 1)
    step = torch.arange(6)
    mean, deviation = denoising_step(lambda s, x, t: noise, alpha_bar, timesteps, step, torch.zeros(6, 1), x)
    for k in range(5):
        t = 5 - k
        bar, previous = float(alpha_bar[t]), float(alpha_bar[t - 1])
        alpha, beta = bar / previous, 1 - bar / previous
        clean = ((x[k] - (1 - bar) ** 0.5 * noise[k]) / bar**0.5).clamp(-1, 1)
        wanted = previous**0.5 * beta / (1 - bar) * clean + alpha**0.5 * (1 - previous) / (1 - bar) * x[k]
        torch.testing.assert_close(mean[k], wanted, rtol=1e-3, atol=1e-4)
        assert float(deviation[k]) == pytest.approx(((1 - previous) / (1 - bar) * beta) ** 0.5, rel=1e-3)
    assert float(deviation[5]) == 0


def test_paths_are_explored_with_the_least_deviation_and_end_in_the_chunk():
    agent = make_agent(replace(SMALL, exploration_deviation=0.3))
    observation = torch.zeros(2000, 3)
    path = agent.explore(observation).unflatten(1, agent.path_shape)
    assert path.shape == (2000, 5, 2, 2)
    last = torch.full((2000,), 3)
    mean, deviation = agent._denoise(last, observation, path[:, 3])
    assert float(deviation.max()) == 0
    assert float((path[:, 4] - mean.detach()).std()) == pytest.approx(0.3, abs=0.02)


def test_the_likelihood_of_a_path_uses_its_own_least_deviation():
    agent = make_agent(replace(SMALL, likelihood_deviation=0.2))
    observation, step = torch.zeros(7, 3), torch.full((7,), 3)
    path = agent.explore(observation).unflatten(1, agent.path_shape)
    mean, _ = agent._denoise(step, observation, path[:, 3])
    expected = torch.distributions.Normal(mean, 0.2).log_prob(path[:, 4]).sum(dim=(1, 2))
    torch.testing.assert_close(agent.log_likelihood(step, observation, path), expected)


def test_the_first_step_finds_all_ratios_at_one():
    agent = make_agent(replace(SMALL, epochs=1, batch_size=100_000))
    health = agent.update(rollout_of(agent, right))
    assert float(health["ratio_clipped"]) == 0
    assert abs(float(health["actor_loss"])) < 1e-5


def test_later_denoising_steps_count_more_and_are_clipped_less():
    agent = make_agent(replace(SMALL, denoising_discount=0.5, clip=0.2, first_clip=0.025))
    assert agent.factor.tolist() == pytest.approx([0.125, 0.25, 0.5, 1])
    assert agent.clip.tolist() == pytest.approx([0.025, 0.05, 0.1, 0.2])


def test_what_succeeded_becomes_likelier():
    agent = make_agent()
    before = rollout_of(agent, right).reward.mean()
    for _ in range(20):
        agent.update(rollout_of(agent, right))
    after = rollout_of(agent, right).reward.mean()
    assert float(before) < 0.7
    assert float(after) > 0.9


def test_at_first_the_value_function_learns_alone():
    agent = make_agent(replace(SMALL, critic_updates=1))
    before = [parameter.clone() for parameter in agent.actor.parameters()]
    assert "actor_loss" not in agent.update(rollout_of(agent, right))
    assert all(map(torch.equal, before, agent.actor.parameters()))
    assert "actor_loss" in agent.update(rollout_of(agent, right))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 0}, r"dppo\.rounds must be at least 1, not 0"),
        ({"likelihood_deviation": 0.0}, r"dppo\.likelihood_deviation must be positive"),
        ({"first_clip": 0.0}, r"dppo\.first_clip must be positive"),
        ({"denoising_discount": 1.5}, r"dppo\.denoising_discount must lie in \(0, 1\]"),
        ({"critic_updates": -1}, r"dppo\.critic_updates must not be negative"),
        ({"trace": -1.0}, r"dppo\.trace must lie in \[0, 1\]"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        DppoConfig(**changes)
