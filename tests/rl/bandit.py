"""A contextual bandit that the tests of the agents share: the action has to come close to half of the context."""

import torch

from expertgen.rl.ppo import PpoAgent
from expertgen.rl.replay import Replay


def succeeds(observation, action):
    """One uniform action in sixteen does."""
    return ((action - observation[:, :2] / 2).abs() < 0.25).all(dim=1)


def learn_bandit(agent, rounds):
    """Lets an agent of three observations and two actions learn, and returns the success of its averaged actor."""
    generator = torch.Generator().manual_seed(1)

    def context(rows):
        return torch.cat([2 * torch.rand(rows, 2, generator=generator) - 1, torch.ones(rows, 1)], dim=1)

    on_policy = isinstance(agent, PpoAgent)
    replay = Replay(agent.config.rounds if on_policy else 500, 64, 3, 2)
    none = torch.zeros(64, dtype=torch.bool)
    for round_ in range(rounds):
        observation, learning = context(64), on_policy or round_ > 30
        action = agent.explore(observation) if learning else 2 * torch.rand(64, 2, generator=generator) - 1
        success = succeeds(observation, action.clamp(-1, 1))
        replay.add(observation, action.clone(), success.float(), observation, ~none, none, success)
        if on_policy and replay.rounds % agent.config.rounds == 0:
            agent.update(replay.newest(agent.config.rounds, 0.97))
        elif not on_policy and learning:
            agent.update(replay.sample(128, 1, 0.97, generator, 0.3))
    test = context(512)
    before = succeeds(test, 2 * torch.rand(512, 2, generator=generator) - 1).float().mean()
    assert float(before) < 0.1
    with torch.no_grad():
        return float(succeeds(test, agent.average_actor.act(test)).float().mean())
