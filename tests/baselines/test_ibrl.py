"""Imitation bootstrapped RL: who is chosen, to act and in the target, by hand."""

import numpy as np
import pytest
import torch

from expertgen.baselines.ibrl import ChoosingActor, IbrlAgent, IbrlConfig, IbrlController
from expertgen.errors import UsageError
from expertgen.rl.networks import Actor, CriticEnsemble
from expertgen.rl.replay import Batch
from expertgen.rl.sac import SacConfig


class Nearness(CriticEnsemble):
    """Two critics of one action that like it near to the state, or to a half; a third would never be the lowest."""

    def __init__(self):
        super().__init__(3, 1, 1, 4, 1)

    def forward(self, observation, action):
        wanted = torch.stack([observation, torch.full_like(observation, 0.5), action])
        return -(action - wanted).abs().squeeze(-1)


class Still(Actor):
    """Proposes 0, or the sample's noise."""

    def act(self, observation, normal=None):
        return torch.zeros(len(observation), 1) if normal is None else normal


class PlainPrior:
    noise_shape = (2, 1)
    observation_size = 1

    def normalize(self, observation):
        return observation / 10

    def decode(self, observation, noise):
        return noise.clamp(-1, 1)


def test_whichever_the_lowest_critic_values_more_is_taken():
    chooser = ChoosingActor(1, Still(), Nearness())
    #                     state, proposal
    seen = torch.tensor([[0.5, 0.4], [0.1, -0.3], [0.0, 0.2], [1.0, 0.7]])
    # The lowest critic: own 0 → -0.5, -0.5, -0.5, -1; proposals → -0.1, -0.8, -0.3, -0.3.
    assert chooser.act(seen).flatten().tolist() == pytest.approx([0.4, 0.0, 0.2, 0.7])
    normal = torch.tensor([[0.5], [0.2], [0.3], [0.6]])  # own → 0, -0.3, -0.3, -0.4
    assert chooser.act(seen, normal).flatten().tolist() == pytest.approx([0.5, 0.2, 0.3, 0.7])


def test_the_target_bootstraps_from_the_better_proposal(monkeypatch):
    agent = IbrlAgent(1, 1, SacConfig(width=8, depth=1), torch.Generator().manual_seed(0))
    agent._chooser.critic = Nearness()
    asked = {}
    monkeypatch.setattr(agent.sac, "update", lambda *arguments: asked.update(batch=arguments) or {})
    monkeypatch.setattr(agent.sac.actor, "act", lambda state, normal: torch.full((len(state), 1), 0.25))
    zeros, seen = torch.zeros(2), torch.tensor([[0.5, 0.4], [0.0, 0.6]])
    health = agent.update(Batch(seen, torch.zeros(2, 1), zeros, seen, zeros), 0.125)
    batch, rate, next_action = asked["batch"]
    assert next_action.flatten().tolist() == pytest.approx([0.4, 0.25])
    assert batch.observation.tolist() == batch.next_observation.tolist() == [[0.5], [0.0]]
    assert float(health["prior_share"]) == 0.5
    assert rate == 0.125


def test_the_agent_sees_the_proposal_and_warms_up_with_it():
    controller = IbrlController(PlainPrior(), torch.Generator().manual_seed(0))
    observation, ids = np.array([[1.0], [2.0]], np.float32), np.arange(2)
    seen, again = controller.observe(observation, ids), controller.observe(observation, ids)
    assert seen[:, 0].tolist() == pytest.approx([0.1, 0.2])
    assert not torch.equal(seen[:, 1:], again[:, 1:]), "proposals are made of fresh noise"
    assert torch.equal(controller.warm_up(torch.zeros(2, 2), seen), seen[:, 1:])
    assert controller.chunk(observation, seen[:, 1:], ids).shape == (2, 2, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"demo_share": 1.0}, r"ibrl\.demo_share must lie in \[0, 1\), not 1\.0"),
        ({"updates_per_decision": 0.0}, r"ibrl\.updates_per_decision must be positive"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        IbrlConfig(**changes)
