"""Noise aliasing: one update by hand, and what is learnt of chunks reaches the noises behind them."""

from dataclasses import replace

import pytest
import torch

from expertgen.errors import FileError, UsageError
from expertgen.rl.replay import Batch
from expertgen.rl.sac import SacConfig
from expertgen.steering.aliasing import AliasingAgent, AliasingConfig
from tests.rl.batches import random_batch

SMALL = AliasingConfig(SacConfig(width=16, depth=2))


def make_agent(config=SMALL, seed=0, generate=lambda seen, action: action[:, :2]):
    """Three observations, four numbers of noise, of which by default two become the chunk."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    return AliasingAgent(3, 4, 2, config, generate, lambda normal, seen: normal.clamp(-1, 1), generator)


def answer(critic, *probabilities):
    """Makes every critic answer its probability, whatever it is asked."""
    with torch.no_grad():
        critic.weight.zero_()
        critic.bias.copy_(torch.tensor(probabilities).logit().view(-1, 1, 1))


def test_target_is_the_value_of_the_generated_chunk():
    asked = []

    def generate(seen, action):
        asked.append((seen, action))
        return torch.zeros(len(seen), 2)

    agent = make_agent(generate=generate)
    answer(agent.chunk_critic, 0.2, 0.2)
    answer(agent.target_critic, 0.6, 0.8)
    answer(agent.noise_critic, 0.5, 0.5)
    one = torch.ones(1)
    health = agent.update(Batch(torch.zeros(1, 3), torch.zeros(1, 2), 0.25 * one, torch.ones(1, 3), 0.5 * one))
    assert float(health["td_error"]) == pytest.approx(0.25 + 0.5 * 0.6 - 0.2, rel=1e-4)
    assert float(health["q"]) == pytest.approx(0.2, rel=1e-4)
    # The next state is asked with the actor's noise; the state itself, twice, with fresh noise.
    assert [seen[0].tolist() for seen, _ in asked] == [[1.0] * 3, [0.0] * 3, [0.0] * 3]
    assert not torch.equal(asked[1][1], asked[2][1])


def test_what_is_learnt_of_chunks_reaches_the_noises_behind_them():
    # Chunks of a positive first number succeed; the replay holds no noise at all.
    agent = make_agent(replace(SMALL, sac=SacConfig(width=32, depth=2, learning_rate=5e-3, average_rate=0.05)))
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        chunk = 2 * torch.rand(128, 2, generator=generator) - 1
        observation = torch.rand(128, 3, generator=generator)
        agent.update(Batch(observation, chunk, (chunk[:, 0] > 0).float(), observation, torch.zeros(128)))
    noise, seen = torch.zeros(2, 4), torch.full((2, 3), 0.5)
    noise[:, 0] = torch.tensor([-0.7, 0.7])
    with torch.no_grad():
        values = agent.noise_critic(seen, noise).mean(dim=0).sigmoid()
        assert float(values[0]) < 0.2
        assert float(values[1]) > 0.8
        assert float(agent.average_actor.act(seen)[0, 0]) > 0.3


def test_each_loss_moves_its_own_networks():
    agent = make_agent()
    agent.update(random_batch())
    assert all(p.grad is not None for p in agent.chunk_critic.parameters())
    assert all(p.grad is None for p in (*agent.target_critic.parameters(), *agent.average_actor.parameters()))


def test_a_restored_agent_takes_the_same_next_updates(tmp_path):
    agent, restored = make_agent(), make_agent(seed=9)
    for i in range(3):
        agent.update(random_batch(i))
    restored.load_state({name: tensor.clone() for name, tensor in agent.state().items()}, tmp_path)
    for learner in (agent, restored):
        learner.generator.manual_seed(4)
    for i in range(3, 6):
        first, second = agent.update(random_batch(i)), restored.update(random_batch(i))
        assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(FileError, match="shape"):
        make_agent(AliasingConfig(SacConfig(width=8, depth=2))).load_state(agent.state(), tmp_path)


def test_impossible_values_are_refused():
    with pytest.raises(UsageError, match=r"aliasing\.distill_steps must be at least 1, not 0"):
        AliasingConfig(distill_steps=0)
