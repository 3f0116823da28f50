"""Soft actor-critic: one update by hand, what each step may touch, toys it has to learn, and the same bits again."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from expertgen.errors import FileError, UsageError
from expertgen.rl.replay import Batch, Replay
from expertgen.rl.sac import SacAgent, SacConfig
from expertgen.runs.checkpoint import load_checkpoint, save_checkpoint
from tests.rl.bandit import learn_bandit
from tests.rl.batches import random_batch

SMALL = SacConfig(width=16, depth=2)


def make_agent(config=SMALL, seed=0, observation_size=3, action_size=2):
    torch.manual_seed(seed)
    return SacAgent(observation_size, action_size, config, torch.Generator().manual_seed(seed))


def constant_critic(critic, *probabilities):
    """Makes every critic answer its probability, whatever it is asked."""
    with torch.no_grad():
        critic.weight.zero_()
        critic.bias.copy_(torch.tensor(probabilities).logit().view(-1, 1, 1))


def parameters(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_target_and_losses_by_hand():
    agent = make_agent()
    constant_critic(agent.critic, 0.2, 0.2)
    constant_critic(agent.target_critic, 0.6, 0.8)
    batch = Batch(
        torch.zeros(2, 3), torch.zeros(2, 2), torch.tensor([0.25, 1.0]), torch.zeros(2, 3), torch.tensor([0.5, 0.0])
    )
    health = agent.update(batch)
    # y = .25 + .5 · min(.6, .8) = .55 where the episode goes on, and 1 where it ended in success; nothing for entropy.
    targets = (0.55, 1.0)
    loss = sum(-y * math.log(0.2) - (1 - y) * math.log(0.8) for y in targets) / 2
    assert float(health["critic_loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(health["q"]) == pytest.approx(0.2, rel=1e-5)
    assert float(health["td_error"]) == pytest.approx((0.35 + 0.8) / 2, rel=1e-5)
    assert float(health["temperature"]) == pytest.approx(SMALL.temperature)
    actor_loss = SMALL.temperature * -2 * float(health["entropy"]) - math.log(0.2 / 0.8)
    assert float(health["actor_loss"]) == pytest.approx(actor_loss, rel=1e-5)


def test_of_many_critics_two_are_drawn_for_each_target():
    batch = Batch(torch.zeros(2, 3), torch.zeros(2, 2), torch.zeros(2), torch.zeros(2, 3), torch.ones(2))
    found = set()
    for seed in range(40):
        agent = make_agent(replace(SMALL, critics=3), seed=seed)
        constant_critic(agent.critic, 0.1, 0.1, 0.1)
        constant_critic(agent.target_critic, 0.4, 0.6, 0.8)
        found.add(round(float(agent.update(batch)["td_error"]) + 0.1, 5))
    assert found == {0.4, 0.6}, "the minimum of two: never the highest, not always the lowest"


def test_entropy_is_per_action_dimension():
    agent = make_agent(action_size=6)
    with torch.no_grad():
        agent.actor.head.weight.zero_()
        agent.actor.head.bias[6:] = -3.0
    observation, action = torch.zeros(4000, 3), torch.zeros(4000, 6)
    batch = Batch(observation, action, torch.zeros(4000), observation, torch.zeros(4000))
    # So narrow a Gaussian is not bent by tanh: its entropy is that of the Gaussian.
    expected = 0.5 * math.log(2 * math.pi * math.e) - 3
    assert float(agent.update(batch)["entropy"]) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("target_entropy", "sign"), [(10.0, 1), (-10.0, -1)])
def test_temperature_rises_while_the_policy_is_too_sure(target_entropy, sign):
    agent = make_agent(replace(SMALL, target_entropy=target_entropy))
    before = float(agent.log_temperature)
    agent.update(random_batch())
    assert (float(agent.log_temperature) - before) * sign > 0


def test_each_loss_moves_its_own_network_alone():
    batch = replace(random_batch(), discount=torch.zeros(32))  # so that the target does not depend on the actor
    agents = make_agent(), make_agent()
    with torch.no_grad():
        agents[1].actor.head.bias.add_(1.0)
    for agent in agents:
        agent.update(batch)
    gradients = [[p.grad for p in agent.critic.parameters()] for agent in agents]
    assert equal(*gradients), "the actor's loss adds nothing to the critics"
    assert any(bool((gradient != 0).any()) for gradient in gradients[0])
    gradients = [[p.grad for p in agent.actor.parameters()] for agent in agents]
    assert not equal(*gradients)
    assert all(p.grad is None for p in (*agent.target_critic.parameters(), *agent.average_actor.parameters()))


def test_a_schedule_sets_the_learning_rate():
    agents = make_agent(), make_agent()
    before = parameters(agents[0].critic)
    agents[0].update(random_batch(), rate=0.5)
    agents[1].update(random_batch())
    for old, half, whole in zip(before, *(parameters(agent.critic) for agent in agents), strict=True):
        torch.testing.assert_close(half - old, 0.5 * (whole - old), rtol=1e-3, atol=1e-6)


def test_averages_follow_slowly():
    agent = make_agent()
    target, average = parameters(agent.target_critic), parameters(agent.average_actor)
    agent.update(random_batch())
    for old, new, source in zip(target, agent.target_critic.parameters(), agent.critic.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.005 * (source - old))
    for old, new, source in zip(average, agent.average_actor.parameters(), agent.actor.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.002 * (source - old))


def test_exploring_is_the_raw_actors():
    agent = make_agent()
    with torch.no_grad():
        agent.actor.head.bias[:2] = 3.0
        agent.average_actor.head.bias[:2] = -3.0
    observation = torch.zeros(5, 3)
    assert bool((agent.explore(observation) > 0).all())
    assert not torch.equal(agent.explore(observation), agent.explore(observation))


def test_the_same_seed_gives_the_same_bits():
    agents = [make_agent(seed=seed) for seed in (0, 0, 1)]
    for agent in agents:
        for i in range(3):
            agent.update(random_batch(i))
    states = [agent.state() for agent in agents]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_a_restored_agent_takes_the_same_next_updates(tmp_path):
    agent, path = make_agent(), tmp_path / "agent.safetensors"
    for i in range(3):
        agent.update(random_batch(i))
    save_checkpoint(path, "agent", 1, agent.state(), {})
    restored = make_agent(seed=9)
    restored.load_state(load_checkpoint(path, "agent", 1)[0], path)
    for learner in (agent, restored):
        learner.generator.manual_seed(4)
    for i in range(3, 6):
        first, second = agent.update(random_batch(i)), restored.update(random_batch(i))
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(tensor, restored.state()[name]) for name, tensor in agent.state().items())


def test_a_state_of_another_shape_is_refused(tmp_path):
    with pytest.raises(FileError, match="shape"):
        make_agent(replace(SMALL, width=8)).load_state(make_agent().state(), tmp_path / "state")
    with pytest.raises(FileError, match="is missing"):
        make_agent(replace(SMALL, depth=3)).load_state(make_agent().state(), tmp_path / "state")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, r"sac\.width must be at least 1, not 0"),
        ({"n_step": 0}, r"sac\.n_step must be at least 1"),
        ({"learning_rate": 0.0}, r"sac\.learning_rate must be positive"),
        ({"temperature": float("nan")}, r"sac\.temperature must be positive"),
        ({"discount": 1.1}, r"sac\.discount must lie in \(0, 1\]"),
        ({"average_rate": 0.0}, r"sac\.average_rate must lie in \(0, 1\]"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        SacConfig(**changes)
    assert "\n" not in str(caught.value)


def test_critics_learn_how_far_success_is():
    # Three decisions lead to success, whatever is done: its discounted probability is γ², γ, 1.
    config = SacConfig(width=32, depth=2, learning_rate=3e-3, target_rate=0.05, discount=0.5, n_step=1)
    agent = make_agent(config)
    replay = Replay(60, 1, 3, 2)
    for time in range(60):
        now, following, last = torch.eye(3)[[time % 3]], torch.eye(3)[[(time + 1) % 3]], torch.tensor([time % 3 == 2])
        action = 2 * torch.rand(1, 2, generator=agent.generator) - 1
        replay.add(now, action, last.float(), following, last, torch.tensor([False]), last)
    draw = torch.Generator().manual_seed(0)
    for _ in range(400):
        agent.update(replay.sample(64, config.n_step, config.discount, draw))
    with torch.no_grad():
        value = agent.critic(torch.eye(3), torch.zeros(3, 2)).mean(dim=0).sigmoid()
    assert value.tolist() == pytest.approx([0.25, 0.5, 1.0], abs=0.04)


def test_learns_a_contextual_bandit_from_rare_success():
    agent = make_agent(SacConfig(width=32, depth=2, learning_rate=3e-3, average_rate=0.02))
    assert learn_bandit(agent, rounds=350) > 0.9


def test_batches_are_not_changed():
    agent, batch = make_agent(), random_batch()
    before = copy.deepcopy(batch)
    agent.update(batch)
    assert all(torch.equal(tensor, getattr(before, name)) for name, tensor in vars(batch).items())
