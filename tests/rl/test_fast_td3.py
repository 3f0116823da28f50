"""FastTD3: projections and one update by hand, exploration by row, a toy it has to learn, and the same bits again."""

import math
from dataclasses import replace

import pytest
import torch

from expertgen.errors import FileError, UsageError
from expertgen.rl.fast_td3 import FastTd3Agent, FastTd3Config, project
from expertgen.rl.replay import Batch
from tests.rl.bandit import learn_bandit
from tests.rl.batches import random_batch

SMALL = FastTd3Config(width=16, depth=2, atoms=5)


def make_agent(config=SMALL, seed=0):
    torch.manual_seed(seed)
    return FastTd3Agent(3, 2, config, torch.Generator().manual_seed(seed))


def answer(critic, *probabilities):
    """Makes every critic answer its distribution, whatever it is asked."""
    with torch.no_grad():
        critic.weight.zero_()
        critic.bias.copy_(torch.tensor(probabilities).log()[:, None])


def test_projection_by_hand():
    atoms = torch.linspace(0, 1, 5)
    # Nothing follows a success: all mass at 1. Half of the way at 0.5 · {0, 1}: 0 and 0.5 are atoms.
    # 0.1 + 0.5 · 1 = 0.6 lies between the atoms 0.5 and 0.75, four tenths of the way.
    given = torch.tensor([[0.5, 0, 0, 0, 0.5], [0.5, 0, 0, 0, 0.5], [0, 0, 0, 0, 1.0]])
    expected = [[0, 0, 0, 0, 1], [0.5, 0, 0.5, 0, 0], [0, 0, 0.6, 0.4, 0]]
    moved = project(given, torch.tensor([1.0, 0.0, 0.1]), torch.tensor([0.0, 0.5, 0.5]), atoms)
    torch.testing.assert_close(moved, torch.tensor(expected))


def test_projection_keeps_mass_and_mean():
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(64, 51, generator=generator).softmax(dim=-1)
    atoms, discount = torch.linspace(0, 1, 51), 0.9 * torch.rand(64, generator=generator)
    reward = (1 - discount) * torch.rand(64, generator=generator)
    moved = project(probabilities, reward, discount, atoms)
    torch.testing.assert_close(moved.sum(dim=-1), torch.ones(64))
    torch.testing.assert_close(moved @ atoms, reward + discount * (probabilities @ atoms))


def test_target_and_loss_by_hand():
    agent = make_agent()
    even = (0.2, 0.2, 0.2, 0.2, 0.2)
    answer(agent.critic, even, even)
    # The second target critic has the lower mean, 0.25.
    answer(agent.target_critic, (1e-9, 1e-9, 1e-9, 1e-9, 1.0), (1e-9, 1.0, 1e-9, 1e-9, 1e-9))
    one = torch.ones(1)
    health = agent.update(Batch(torch.zeros(1, 3), torch.zeros(1, 2), 0.25 * one, torch.zeros(1, 3), one))
    assert float(health["critic_loss"]) == pytest.approx(-math.log(0.2), rel=1e-4)
    assert float(health["q"]) == pytest.approx(0.5, rel=1e-4)
    assert float(health["td_error"]) == pytest.approx(0, abs=1e-4)  # 0.25 + 0.25
    assert "actor_loss" in health
    assert "actor_loss" not in agent.update(random_batch()), "the actor waits for its turn"


def test_every_environment_explores_by_its_row():
    agent = make_agent(replace(SMALL, least_deviation=0.0, most_deviation=0.5))
    observation = torch.zeros(5, 3)
    mean = agent.actor(observation).detach()
    draws = torch.stack([agent.explore(observation) for _ in range(4000)])
    assert torch.equal(draws[:, 0], mean[0].expand(4000, 2))
    # Clipping at ±1 takes little of the widest, 0.5 around 0.
    expected = torch.linspace(0, 0.5, 5)[:, None].expand(5, 2)
    torch.testing.assert_close(draws.std(dim=0), expected, rtol=0.06, atol=1e-6)
    assert float(draws.abs().max()) <= 1


def test_learns_a_contextual_bandit_from_rare_success():
    agent = make_agent(FastTd3Config(width=32, depth=2, learning_rate=3e-3, average_rate=0.02, policy_delay=1))
    assert learn_bandit(agent, rounds=350) > 0.9


def test_a_restored_agent_takes_the_same_next_updates(tmp_path):
    agent, restored = make_agent(), make_agent(seed=9)
    for i in range(3):
        agent.update(random_batch(i))
    restored.load_state({name: tensor.clone() for name, tensor in agent.state().items()}, tmp_path)
    for learner in (agent, restored):
        learner.generator.manual_seed(4)
    for i in range(3, 6):
        first, second = agent.update(random_batch(i)), restored.update(random_batch(i))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(FileError, match="shape"):
        make_agent(replace(SMALL, width=8)).load_state(agent.state(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, r"fast_td3\.width must be at least 1, not 0"),
        ({"atoms": 1}, r"fast_td3\.atoms must be at least 2, not 1"),
        ({"policy_delay": 0}, r"fast_td3\.policy_delay must be at least 1"),
        ({"learning_rate": float("nan")}, r"fast_td3\.learning_rate must be positive"),
        ({"discount": 0.0}, r"fast_td3\.discount must lie in \(0, 1\]"),
        ({"least_deviation": 0.9}, r"fast_td3\.least_deviation \(0\.9\) must lie between 0 and"),
        ({"target_clip": -1.0}, r"fast_td3\.target_clip must not be negative"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        FastTd3Config(**changes)
    assert "\n" not in str(caught.value)
