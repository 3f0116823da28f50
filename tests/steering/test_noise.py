"""Noise as an action: shapes of it by hand, its variance, and the way back to the prior."""

import numpy as np
import pytest
import torch

from expertgen.errors import UsageError
from expertgen.steering.noise import NoiseController, NoiseSpace, cosine_basis

SHAPE = (6, 2)


class PlainPrior:
    """Its chunk is its noise."""

    noise_shape = SHAPE
    observation_size = 3

    def normalize(self, observation):
        return observation / 2

    def decode(self, observation, noise):
        return noise.clamp(-1, 1)


def test_every_step_has_its_own_noise_within_the_bound():
    action = torch.linspace(-2, 2, 12)[None]
    noise = NoiseSpace(1.5).noise(action, SHAPE)
    torch.testing.assert_close(noise, 1.5 * action.clamp(-1, 1).view(1, 6, 2))


def test_rank_one_repeats_one_noise():
    noise = NoiseSpace(1.5, rank=1).noise(torch.tensor([[0.5, -1.0]]), SHAPE)
    torch.testing.assert_close(noise, torch.tensor([0.75, -1.5]).expand(1, 6, 2))


def test_low_rank_noise_is_made_of_slow_courses():
    basis = cosine_basis(3, 6)
    assert basis.shape == (3, 6)
    gram = basis @ basis.T
    torch.testing.assert_close(gram, torch.eye(3) * 6 / 3, rtol=0, atol=1e-6)
    torch.testing.assert_close(basis[0], torch.full((6,), 3**-0.5))
    assert (basis[1].diff() < 0).all(), "half a cosine falls from one end to the other"
    # One action dimension after the other: the first number of each course is of the first dimension.
    action = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0, 0.5]])
    noise = NoiseSpace(2.0, rank=3).noise(action, SHAPE)
    torch.testing.assert_close(noise[0, :, 0], 2 * basis[1])
    torch.testing.assert_close(noise[0, :, 1], basis[2])


@pytest.mark.parametrize("rank", [0, 1, 2, 6])
def test_normal_actions_give_noise_of_unit_variance(rank):
    space = NoiseSpace(bound=10.0, rank=rank)
    normal = torch.randn(20_000, space.action_size(SHAPE), generator=torch.Generator().manual_seed(0))
    noise = space.noise(normal / 10, SHAPE)
    assert float(noise.var()) == pytest.approx(1, abs=0.02)


def test_around_the_prior_an_action_is_a_step_from_normal_noise():
    space = NoiseSpace(0.5, around_prior=True)
    action = torch.full((4000, 12), 1.0)
    moved = space.noise(action, SHAPE, torch.Generator().manual_seed(3))
    still = space.noise(0 * action, SHAPE, torch.Generator().manual_seed(3))
    torch.testing.assert_close(moved - still, torch.full((4000, 6, 2), 0.5))
    assert float(still.std()) == pytest.approx(1, abs=0.01)
    assert torch.equal(space.noise(0 * action, SHAPE), torch.zeros(4000, 6, 2)), "without a source there is no ε"


def test_the_controller_decodes_what_it_was_told():
    controller = NoiseController(PlainPrior(), NoiseSpace(0.5, rank=1))
    ids, observation = np.arange(2), np.ones((2, 3), np.float32)
    assert (controller.observation_size, controller.action_size, controller.chunk_length) == (3, 2, 6)
    assert controller.observe(observation, ids).tolist() == [[0.5] * 3] * 2
    chunk = controller.chunk(observation, torch.tensor([[1.0, 0.0], [-1.0, 0.2]]), ids)
    torch.testing.assert_close(chunk[0], torch.tensor([0.5, 0.0]).expand(6, 2))
    assert controller.measures(torch.zeros(2, 2))["noise_norm"] == pytest.approx(((0.5 + 0.01) / 4) ** 0.5)
    normal = torch.tensor([[0.25, -3.0]])
    assert controller.warm_up(normal, normal).tolist() == [[0.5, -1.0]]
    around = NoiseController(PlainPrior(), NoiseSpace(0.5, around_prior=True))
    assert around.warm_up(normal, normal).tolist() == [[0, 0]]


def test_noise_larger_than_the_chunk_is_refused():
    with pytest.raises(UsageError, match=r"steer\.noise_rank \(7\) exceeds the chunk's length \(6\)"):
        NoiseSpace(rank=7).action_size(SHAPE)
