"""Soft actor-critic for returns: one update by hand, the losses of Stable-Baselines3, a toy, the same bits again."""

from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch
from stable_baselines3 import SAC

from expertgen.errors import FileError, UsageError
from expertgen.rl.replay import Batch
from expertgen.rl.sac_returns import ReturnSacAgent, ReturnSacConfig
from expertgen.runs.checkpoint import load_checkpoint, save_checkpoint

SMALL = ReturnSacConfig(width=16, depth=2, temperature=0.1)
FROZEN = replace(SMALL, learning_rate=1e-12)
"""The critics that the policy sees are those before their step."""


def make_agent(config=SMALL, seed=0, observation_size=3, action_size=2):
    torch.manual_seed(seed)
    return ReturnSacAgent(observation_size, action_size, config, torch.Generator().manual_seed(seed))


def random_batch(seed=0, rows=32):
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(rows, *shape, generator=generator)

    return Batch(rand(3), 2 * rand(2) - 1, 4 * rand(), rand(3), 0.9 * (rand() < 0.8).float())


def constant_critic(critic, *values):
    with torch.no_grad():
        critic.weight.zero_()
        critic.bias.copy_(torch.tensor(values).view(-1, 1, 1))


@pytest.mark.parametrize("discount", [0.0, 0.5])
def test_target_and_losses_by_hand(discount):
    agent, rows = make_agent(FROZEN), 4000
    agent.reward_scale.fill_(2.0)
    constant_critic(agent.critic, 3.0, 5.0)
    constant_critic(agent.target_critic, 10.0, 8.0)
    state = torch.zeros(rows, 3)
    batch = Batch(state, torch.zeros(rows, 2), torch.full((rows,), 6.0), state, torch.full((rows,), discount))
    health = agent.update(batch)
    # y = 6 / 2 + discount · (min(10, 8) + .1 · entropy); the entropy is that of two dimensions.
    bonus = 0.1 * 2 * float(health["entropy"])
    target = 3 + discount * (8 + bonus)
    assert float(health["critic_loss"]) == pytest.approx(((target - 3) ** 2 + (target - 5) ** 2) / 2, rel=5e-3)
    assert float(health["q"]) == pytest.approx(2 * 4.0, rel=1e-5)
    assert float(health["actor_loss"]) == pytest.approx(-bonus - 3.0, rel=1e-5)
    assert float(health["temperature"]) == pytest.approx(0.1)
    if not discount:  # errors 0 and 2, in units of the scale
        assert float(health["td_error"]) == pytest.approx(2.0, rel=1e-5)


def test_losses_and_gradients_are_those_of_stable_baselines(monkeypatch):
    agent, batch = make_agent(FROZEN), random_batch()
    draw = torch.Generator().manual_seed(1)
    next_normal, normal = torch.randn(2, 32, 2, generator=draw)

    def critic(module):
        return lambda observation, action: tuple(module(observation, action)[:, :, None])

    peer, frozen, normals = make_agent(), torch.optim.SGD, [normal, next_normal]
    mine = SimpleNamespace(
        action_log_prob=lambda observation: peer.policy.actor.sample(observation, normals.pop(0)),
        optimizer=frozen(peer.policy.parameters(), lr=0.0),
    )
    critics = MagicMock(side_effect=critic(peer.critic))
    critics.optimizer, critics.parameters = frozen(peer.critic.parameters(), lr=0.0), peer.critic.parameters
    targets = MagicMock(side_effect=critic(peer.target_critic))
    targets.parameters = peer.target_critic.parameters
    data = SimpleNamespace(
        observations=batch.observation,
        actions=batch.action,
        rewards=batch.reward[:, None],
        next_observations=batch.next_observation,
        dones=torch.zeros(32, 1),
        discounts=batch.discount[:, None],
    )
    other = MagicMock(
        actor=mine,
        critic=critics,
        critic_target=targets,
        log_ent_coef=peer.log_temperature,
        ent_coef_optimizer=frozen([peer.log_temperature], lr=0.0),
        target_entropy=peer.target_entropy,
        use_sde=False,
        tau=0.0,
        target_update_interval=1,
        batch_norm_stats=[],
        batch_norm_stats_target=[],
        _n_updates=0,
    )
    other.replay_buffer.sample.return_value = data
    actor_gradients = []
    mine.optimizer.register_step_post_hook(
        lambda *_: actor_gradients.extend(p.grad.clone() for p in peer.policy.parameters())
    )
    critic_gradients = []
    critics.optimizer.register_step_post_hook(
        lambda *_: critic_gradients.extend(p.grad.clone() for p in peer.critic.parameters())
    )
    SAC.train(other, gradient_steps=1, batch_size=32)
    logged = {call.args[0]: call.args[1] for call in other.logger.record.call_args_list}

    fed = iter([next_normal, normal])
    monkeypatch.setattr(agent, "_normal", lambda rows: next(fed))
    health = agent.update(batch)
    assert float(health["critic_loss"]) == pytest.approx(logged["train/critic_loss"], rel=1e-4)
    assert float(health["actor_loss"]) == pytest.approx(logged["train/actor_loss"], rel=1e-4)
    torch.testing.assert_close(agent.log_temperature.grad, peer.log_temperature.grad, rtol=1e-4, atol=1e-6)
    for ours, theirs in (
        (agent.critic.parameters(), critic_gradients),
        (agent.policy.parameters(), actor_gradients),
    ):
        for parameter, gradient in zip(ours, theirs, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=2e-2, atol=1e-4)


def test_critics_can_step_without_the_policy():
    agent = make_agent()
    before = {name: tensor.clone() for name, tensor in agent.state().items()}
    health = agent.update(random_batch(), policy=False)
    assert set(health) == {"critic_loss", "q", "td_error"}
    after = agent.state()
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"critic", "target_critic"}
    assert set(agent.update(random_batch())) == {*health, "actor_loss", "entropy", "temperature"}


def test_scales_of_observations_and_rewards():
    agent = make_agent(ReturnSacConfig(width=16, discount=0.99))
    agent.fit_reward_scale(torch.tensor([3.0, -4.0]))
    assert float(agent.reward_scale) == pytest.approx(12.5**0.5 * 10, rel=1e-4)
    constant_critic(agent.critic, 1.0, 2.0)
    observation = torch.randn(100, 3) * 5 + 7
    assert agent.value(observation).tolist() == pytest.approx([float(agent.reward_scale)] * 100)
    agent.fit_observation_scale(observation)
    scaled = agent.policy.normalizer(observation)
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(scaled.std(dim=0, correction=0), torch.ones(3), rtol=0, atol=1e-3)
    agent.fit_reward_scale(torch.zeros(5))
    assert float(agent.reward_scale) == 1.0


def test_temperature_stays_without_a_target():
    agent = make_agent(ReturnSacConfig(width=16, temperature=0.1, target_entropy=None))
    for _ in range(3):
        health = agent.update(random_batch())
    assert float(agent.log_temperature.exp()) == pytest.approx(0.1)
    assert float(health["temperature"]) == pytest.approx(0.1)


@pytest.mark.parametrize(("target_entropy", "sign"), [(10.0, 1), (-10.0, -1)])
def test_temperature_rises_while_the_policy_is_too_sure(target_entropy, sign):
    agent = make_agent(ReturnSacConfig(width=16, target_entropy=target_entropy))
    before = float(agent.log_temperature)
    agent.update(random_batch())
    assert (float(agent.log_temperature) - before) * sign > 0


def test_the_policy_samples_its_own_distribution():
    agent = make_agent()
    agent.fit_observation_scale(torch.randn(50, 3) * 3)
    observation = torch.randn(1, 3).expand(20_000, 3)
    mean, log_deviation = agent.policy.distribution(observation)
    raw = agent.policy.sample(observation, torch.Generator().manual_seed(0)).double().clamp(-0.9999, 0.9999).atanh()
    torch.testing.assert_close(raw.mean(dim=0).float(), mean[0].detach(), rtol=0, atol=0.03)
    torch.testing.assert_close(raw.std(dim=0).log().float(), log_deviation[0].detach(), rtol=0, atol=0.03)
    torch.testing.assert_close(agent.act(observation, deterministic=True), mean.detach().tanh())


def test_values_can_be_differentiated_by_the_state():
    agent = make_agent()
    state = torch.randn(4, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(agent.values(state).sum(), state)
    assert gradient.shape == (4, 3)
    assert bool((gradient != 0).any())


def test_the_same_seed_gives_the_same_bits_and_a_restored_agent_the_same_updates(tmp_path):
    agents, path = [make_agent(seed=seed) for seed in (0, 0, 1)], tmp_path / "agent.safetensors"
    for agent in agents:
        agent.fit_reward_scale(torch.full((3,), 2.0))
        agent.fit_observation_scale(random_batch().observation)
        for i in range(3):
            agent.update(random_batch(i))
    states = [agent.state() for agent in agents]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])
    save_checkpoint(path, "agent", 1, states[0], {})
    restored = make_agent(seed=9)
    restored.load_state(load_checkpoint(path, "agent", 1)[0], path)
    for agent in (agents[0], restored):
        agent.generator.manual_seed(4)
        agent.update(random_batch(5))
    assert all(torch.equal(tensor, restored.state()[name]) for name, tensor in agents[0].state().items())


def test_a_state_of_another_shape_or_with_gaps_is_refused(tmp_path):
    with pytest.raises(FileError, match="shape"):
        make_agent(ReturnSacConfig(width=8)).load_state(make_agent().state(), tmp_path / "state")
    state = make_agent().state()
    del state["reward_scale"]
    with pytest.raises(FileError, match="'reward_scale' is missing"):
        make_agent().load_state(state, tmp_path / "state")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, r"agent\.width must be at least 1, not 0"),
        ({"learning_rate": 0.0}, r"agent\.learning_rate must be positive"),
        ({"temperature": float("nan")}, r"agent\.temperature must be positive"),
        ({"discount": 1.0}, r"agent\.discount must lie in \[0, 1\)"),
        ({"target_rate": 0.0}, r"agent\.target_rate must lie in \(0, 1\]"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        ReturnSacConfig(**changes)


def test_learns_a_contextual_bandit_with_large_rewards():
    agent = make_agent(ReturnSacConfig(width=32, depth=2, learning_rate=3e-3, target_entropy=-1.0))
    generator = torch.Generator().manual_seed(1)

    def context(rows):
        return 20 * torch.rand(rows, 3, generator=generator) - 10

    def reward(observation, action):
        return -1000 * (action - observation[:, :2] / 20).square().sum(dim=1)

    for step in range(300):
        observation = context(128)
        action = agent.policy.sample(observation, generator)
        if step == 0:
            agent.fit_observation_scale(observation)
            agent.fit_reward_scale(reward(observation, action))
        agent.update(Batch(observation, action, reward(observation, action), observation, torch.zeros(128)))
    test = context(512)
    assert float(reward(test, agent.act(test, deterministic=True)).mean()) > -30  # of actions 0: -167
