"""Self-imitation: what is cloned, and how much, by hand."""

import pytest
import torch

from expertgen.baselines.self_imitation import SelfImitationAgent, SelfImitationConfig
from expertgen.errors import UsageError
from expertgen.prior.prior import DiffusionPrior, PriorConfig
from expertgen.rl.replay import Batch


def make_agent(**options):
    torch.manual_seed(0)
    config = PriorConfig(chunk_length=2, levels=5, sampler_steps=3, width=32, depth=1)
    prior = DiffusionPrior("toy", config, 3, 2)
    prior.network.requires_grad_(False)
    options = {"learning_rate": 3e-3, "average_rate": 0.1} | options
    return SelfImitationAgent(prior, SelfImitationConfig(**options), torch.Generator().manual_seed(0))


def batch(action, reward):
    rows = len(reward)
    nothing = torch.zeros(rows, 3)
    return Batch(nothing, action, reward, nothing, torch.zeros(rows))


def test_chunks_are_cloned_by_their_return_and_failures_never():
    agent = make_agent()
    good, half, bad = (torch.full((32, 4), value) for value in (0.8, 0.2, -0.8))
    reward = torch.cat([torch.ones(32), torch.full((32,), 0.25), torch.zeros(32)])
    for _ in range(600):
        health = agent.update(batch(torch.cat([good, half, bad]), reward))
    assert float(health["imitated"]) == pytest.approx(1.25 / 3)
    chunks = agent.explore(torch.zeros(1000, 3)).mean(dim=1)
    assert float((chunks < -0.2).float().mean()) < 0.02
    assert float((chunks > 0.5).float().mean()) == pytest.approx(0.8, abs=0.1)


def test_without_any_success_nothing_moves():
    agent = make_agent(weight_decay=0.0)
    before = [parameter.clone() for parameter in agent.actor.parameters()]
    health = agent.update(batch(torch.ones(8, 4), torch.zeros(8)))
    assert float(health["actor_loss"]) == 0
    assert all(map(torch.equal, before, agent.actor.parameters()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"demo_share": 1.0}, r"self_imitation\.demo_share must lie in \[0, 1\)"),
        ({"updates_per_decision": 0.0}, r"self_imitation\.updates_per_decision must be positive"),
        ({"learning_rate": 0.0}, r"self_imitation\.learning_rate must be positive"),
        ({"weight_decay": -1.0}, r"self_imitation\.weight_decay must not be negative"),
        ({"discount": 0.0}, r"self_imitation\.discount must lie in \(0, 1\]"),
        ({"average_rate": 2.0}, r"self_imitation\.average_rate must lie in \(0, 1\]"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        SelfImitationConfig(**changes)
