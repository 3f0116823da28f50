"""Streams of transitions of drifting policies, small or with a density ratio that is known in closed form."""

import math

import torch
from torch import distributions, nn

from expertgen.dynamics.transitions import Transitions


class LinearPolicy(nn.Module):
    """Actions N(gain · mean of the observation + bias, deviation), without a tanh."""

    def __init__(self, gain=0.3, bias=0.0, deviation=0.5, actions=1):
        super().__init__()
        self.gain, self.bias = nn.Parameter(torch.tensor(gain)), nn.Parameter(torch.tensor(bias))
        self.log_deviation = nn.Parameter(torch.tensor(math.log(deviation)))
        self.actions = actions

    def distribution(self, observation):
        mean = (self.gain * observation.mean(dim=1, keepdim=True) + self.bias).expand(-1, self.actions)
        return mean, self.log_deviation.expand_as(mean)

    def sample(self, observation, generator):
        mean, log_deviation = self.distribution(observation)
        return mean + log_deviation.exp() * torch.randn(mean.shape, generator=generator)


def transitions(rows, observations=3, actions=2, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(*size, generator=generator)

    return Transitions(
        normal(rows, observations),
        normal(rows, actions),
        normal(rows),
        normal(rows, observations),
        torch.rand(rows, generator=generator) < 0.1,
        torch.rand(rows, generator=generator) < 0.1,
    )


def gaussian_stream(seed, blocks=10, rows=1000):
    """A 1-D chain s' = α a + ν ε under policies a = k s + b_i + σ ε whose b_i drifts; each block is stationary.

    Returns:
        the transitions, the last policy, start states of its stationary distribution, and the exact log density ratio
        of the last policy's occupancy to the buffer's.
    """
    generator = torch.Generator().manual_seed(seed)
    alpha, noise, gain, deviation = 0.8, 0.6, 0.3, 0.5
    scale = math.sqrt((alpha**2 * deviation**2 + noise**2) / (1 - alpha**2 * gain**2))
    policies = [LinearPolicy(gain, float(b), deviation) for b in torch.linspace(-0.5, 0.5, blocks)]
    centres = [alpha * float(p.bias.detach()) / (1 - alpha * gain) for p in policies]
    with torch.no_grad():
        state = torch.cat([c + scale * torch.randn(rows, 1, generator=generator) for c in centres])
        action = torch.cat([p.sample(s, generator) for p, s in zip(policies, state.split(rows), strict=True)])
        following = alpha * action + noise * torch.randn(state.shape, generator=generator)
        start = centres[-1] + scale * torch.randn(2000, 1, generator=generator)

        def log_density(policy, centre):
            mean, log_deviation = policy.distribution(state)
            of_action = distributions.Normal(mean, log_deviation.exp()).log_prob(action)
            return (distributions.Normal(centre, scale).log_prob(state) + of_action).squeeze(1)

        each = torch.stack([log_density(p, c) for p, c in zip(policies, centres, strict=True)])
    count = len(state)
    false = torch.zeros(count, dtype=torch.bool)
    data = Transitions(state, action, torch.zeros(count), following, false, false)
    return data, policies[-1], start, each[-1] - (each.logsumexp(dim=0) - math.log(blocks))
