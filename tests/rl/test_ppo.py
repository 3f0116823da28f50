"""PPO: advantages against their definition, one update, a toy it has to learn, and the same bits again."""

from dataclasses import replace

import pytest
import torch

from expertgen.errors import FileError, UsageError
from expertgen.rl.ppo import PpoAgent, PpoConfig, advantages, divergence
from expertgen.rl.replay import Rollout
from tests.rl.bandit import learn_bandit

SMALL = PpoConfig(width=16, depth=2, rounds=4, batch_size=8, epochs=2, critic_updates=0)


def make_agent(config=SMALL, seed=0):
    torch.manual_seed(seed)
    return PpoAgent(3, 2, config, torch.Generator().manual_seed(seed))


def random_rollout(agent, seed=0, envs=6):
    generator = torch.Generator().manual_seed(seed)
    shape = (agent.config.rounds, envs)
    observation = torch.rand(*shape, 3, generator=generator)
    action = torch.stack([agent.explore(row) for row in observation])
    terminated = torch.rand(shape, generator=generator) < 0.2
    truncated = ~terminated & (torch.rand(shape, generator=generator) < 0.2)
    following = torch.rand(*shape, 3, generator=generator)
    return Rollout(observation, action, terminated.float(), following, terminated, truncated, 0.97)


def test_advantages_are_discounted_sums_of_errors_within_an_episode():
    generator = torch.Generator().manual_seed(0)
    reward, value, next_value = torch.rand(3, 20, 4, generator=generator)
    terminated = torch.rand(20, 4, generator=generator) < 0.1
    truncated = ~terminated & (torch.rand(20, 4, generator=generator) < 0.1)
    found = advantages(reward, value, next_value, terminated, truncated, 0.9, 0.8)
    for env in range(4):
        for t in range(20):
            expected, weight = 0.0, 1.0
            for k in range(t, 20):
                following = 0.0 if terminated[k, env] else 0.9 * next_value[k, env]
                expected += weight * (reward[k, env] + following - value[k, env])
                if terminated[k, env] or truncated[k, env]:
                    break
                weight *= 0.9 * 0.8
            assert float(found[t, env]) == pytest.approx(float(expected), abs=1e-5)


def test_densities_are_those_of_torch():
    agent = make_agent()
    observation, action = torch.randn(50, 3), torch.randn(50, 2)
    with torch.no_grad():
        agent.actor.log_deviation.copy_(torch.tensor([-1.0, 0.5]))
        normal = torch.distributions.Normal(agent.actor(observation), agent.actor.log_deviation.exp())
        torch.testing.assert_close(
            agent.actor.log_density(observation, action), normal.log_prob(action).sum(dim=-1), rtol=1e-4, atol=1e-5
        )
        assert float(agent.actor.entropy()) == pytest.approx(float(normal.entropy()[0].sum()), rel=1e-5)


def test_what_succeeded_becomes_likelier_and_what_failed_less():
    agent = make_agent(replace(SMALL, learning_rate=1e-2, epochs=1, batch_size=1000))
    observation, action = torch.zeros(4, 2, 3), torch.tensor([0.5, -0.5])[None, :, None].expand(4, 2, 2).clone()
    yes = torch.ones(4, 2, dtype=torch.bool)
    reward = torch.tensor([1.0, 0.0]).expand(4, 2).clone()
    before = agent.actor.log_density(observation[0], action[0]).detach()
    agent.update(Rollout(observation, action, reward, observation, yes, ~yes, 0.97))
    after = agent.actor.log_density(observation[0], action[0]).detach()
    assert float(after[0]) > float(before[0])
    assert float(after[1]) < float(before[1])


def test_the_first_step_finds_all_ratios_at_one():
    agent = make_agent(replace(SMALL, epochs=1, batch_size=1000))
    health = agent.update(random_rollout(agent))
    assert float(health["ratio_clipped"]) == 0
    assert float(health["actor_loss"]) == pytest.approx(0, abs=1e-5)  # advantages are standardised


def test_it_explores_before_clipping_and_acts_within():
    agent = make_agent(replace(SMALL, deviation=3.0))
    observation = torch.zeros(500, 3)
    assert float(agent.explore(observation).abs().max()) > 1
    assert float(agent.average_actor.act(observation, torch.randn(500, 2)).abs().max()) <= 1


def test_learns_a_contextual_bandit_from_rare_success():
    agent = make_agent(PpoConfig(width=32, depth=2, learning_rate=3e-3, rounds=8, average_rate=0.05))
    assert learn_bandit(agent, rounds=400) > 0.8


def test_a_restored_agent_takes_the_same_next_updates(tmp_path):
    agent, restored = make_agent(), make_agent(seed=9)
    agent.update(random_rollout(agent))
    restored.load_state({name: tensor.clone() for name, tensor in agent.state().items()}, tmp_path)
    rollout = random_rollout(agent, 1)
    for learner in (agent, restored):
        learner.generator.manual_seed(4)
    first, second = agent.update(rollout), restored.update(rollout)
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(FileError, match="shape"):
        make_agent(replace(SMALL, width=8)).load_state(agent.state(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 0}, r"ppo\.rounds must be at least 1, not 0"),
        ({"clip": 0.0}, r"ppo\.clip must be positive"),
        ({"deviation": float("nan")}, r"ppo\.deviation must be positive"),
        ({"discount": 1.5}, r"ppo\.discount must lie in \(0, 1\]"),
        ({"trace": -0.1}, r"ppo\.trace must lie in \[0, 1\]"),
        ({"entropy": -1.0}, r"ppo\.entropy must not be negative"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        PpoConfig(**changes)
    assert "\n" not in str(caught.value)


def test_without_success_or_before_the_value_function_is_ready_the_actor_stays():
    for config, succeeded in ((SMALL, False), (replace(SMALL, critic_updates=1), True)):
        agent = make_agent(config)
        rollout = random_rollout(agent)
        rollout = replace(rollout, reward=rollout.reward * succeeded)
        actor, critic = ({k: v.clone() for k, v in net.state_dict().items()} for net in (agent.actor, agent.critic))
        health = agent.update(rollout)
        assert all(torch.equal(value, actor[name]) for name, value in agent.actor.state_dict().items())
        assert not all(torch.equal(value, critic[name]) for name, value in agent.critic.state_dict().items())
        assert health.keys() == {"q", "td_error", "critic_loss"}


def test_divergence_is_that_of_kullback_and_leibler():
    old, new = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.2, 1.1)
    torch.manual_seed(0)
    action = old.sample((200_000,))
    exact = torch.distributions.kl_divergence(old, new)
    torch.testing.assert_close(divergence(new.log_prob(action) - old.log_prob(action)), exact, rtol=0.02, atol=0)


def test_the_policy_stays_within_the_largest_divergence():
    gone = {}
    for limit in (0.01, 1e9):
        options = {"learning_rate": 0.01, "epochs": 20, "batch_size": 1000, "clip": 1e9}
        agent = make_agent(replace(SMALL, largest_divergence=limit, **options))
        rollout = random_rollout(agent, envs=100)
        observation, action = rollout.observation.flatten(0, 1), rollout.action.flatten(0, 1)
        before = agent.actor.log_density(observation, action).detach()
        agent.update(rollout)
        gone[limit] = float(divergence(agent.actor.log_density(observation, action).detach() - before))
    assert gone[0.01] < 0.05 < 0.1 < gone[1e9]
