"""Probing priors that can be steered and priors that cannot, and the search for a constant noise."""

from dataclasses import replace

import pytest
import torch

from expertgen.errors import UsageError
from expertgen.prior.probe import SPREAD_FLOOR, chunk_spread, probe, search_constant_noise
from expertgen.runs.progress import drain
from expertgen.runs.seeding import torch_generator
from tests.toys import STEP_LENGTH, point_task

TASK = replace(point_task(horizon=25), simulator="tests.toys:make_point_env")


class FakePrior:
    """A prior made of one function of observation and noise."""

    noise_shape = (2, 2)
    observation_size = 4

    def __init__(self, function):
        self.function = function

    def normalize(self, observation):
        return observation

    def decode(self, observation, noise):
        return self.function(observation, noise)


def check(function):
    return probe(FakePrior(function), torch.zeros(8, 4), torch.Generator().manual_seed(0))


def test_spread_by_hand():
    # Half of the noise, uncut: a standard deviation of 1/2, whatever the observation.
    prior, observation = FakePrior(lambda o, w: w / 2 + o.mean()), torch.randn(50, 4)
    spread = chunk_spread(prior, observation, torch.Generator().manual_seed(0), draws=200)
    assert spread == pytest.approx(0.5, rel=0.01)


def test_a_prior_that_listens_passes():
    assert check(lambda o, w: w.tanh()) > 0.3


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda o, w: torch.full_like(w, 0.3), r"ignores its noise \(its chunks spread by 0\.0e\+00\)"),
        (lambda o, w: w.tanh() * SPREAD_FLOOR, "ignores its noise"),
        (lambda o, w: torch.rand_like(w), "gives two chunks for the same noise"),
        (lambda o, w: (w.tanh() + 1e-3 * torch.rand_like(w)) / 2, "gives two chunks for the same noise"),
        (lambda o, w: w.tanh().log(), "not finite or outside"),
        (lambda o, w: w.tanh() * 1.01 / w.tanh().abs().max(), "not finite or outside"),
        (lambda o, w: w[:, :1].tanh(), r"into \[8, 1, 2\]; it must keep the shape"),
        (lambda o, w: w[:4].tanh(), "must keep the shape"),
    ],
    ids=["constant", "nearly constant", "random", "nearly deterministic", "NaN", "too large", "shorter", "fewer rows"],
)
def test_a_prior_that_cannot_be_steered_is_refused(function, message):
    with pytest.raises(UsageError, match=message) as caught:
        check(function)
    assert "\n" not in str(caught.value)


def test_the_search_finds_the_one_good_noise():
    candidates = torch.randn(64, 2, 2, generator=torch_generator(5, "constant noise"))
    good, half_good = candidates[23], candidates[40:46]

    def function(observation, noise):
        """Goes to the goal under the good noise; under six others only if the goal is on the right."""
        towards = ((observation[:, 2:] - observation[:, :2]) / STEP_LENGTH).clamp(-1, 1)[:, None].expand_as(noise)
        flat = noise.flatten(1)
        always = (flat == good.flatten()).all(dim=1)
        sometimes = (flat[:, None] == half_good.flatten(1)).all(dim=2).any(dim=1) & (observation[:, 2] > 0)
        # The second step of a chunk goes on from where the first one led, so it is left out.
        return towards * (always | sometimes)[:, None, None] * torch.tensor([1.0, 0.0])[None, :, None]

    found, env_steps = drain(search_constant_noise(replace(TASK, horizon=60), FakePrior(function), seed=5))
    assert torch.equal(found, good)
    assert 2 * 64 * 4 < env_steps <= 2 * 64 * 4 * 60


def test_the_search_needs_no_more_than_one_candidate():
    prior = FakePrior(lambda o, w: w.tanh())
    found, _ = drain(search_constant_noise(TASK, prior, seed=1, candidates=1, episodes_each=1))
    assert torch.equal(found, torch.randn(1, 2, 2, generator=torch_generator(1, "constant noise"))[0])
