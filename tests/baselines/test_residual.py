"""Residual RL: plans of the prior that are corrected step by step, by hand."""

import numpy as np
import pytest
import torch

from expertgen.baselines.residual import ResidualConfig, ResidualController
from expertgen.errors import UsageError


class CountingPrior:
    """Plans three steps: 0.1, 0.2, 0.3 plus a hundredth of how often it was asked."""

    noise_shape = (3, 2)
    observation_size = 1

    def __init__(self):
        self.asked = []

    def normalize(self, observation):
        return observation / 10

    def decode(self, observation, noise):
        self.asked.append(observation[:, 0].tolist())
        steps = torch.tensor([0.1, 0.2, 0.3])[None, :, None] + 0.01 * len(self.asked)
        return steps.expand(len(observation), 3, 2).clone()


def controller_of(prior, scale=0.1):
    return ResidualController(prior, scale, torch.Generator().manual_seed(0))


def observation(*values):
    return np.array(values, np.float32)[:, None]


def test_a_plan_is_corrected_step_by_step_and_renewed_at_its_end():
    prior = CountingPrior()
    controller, ids = controller_of(prior), np.arange(2)
    controller.reset(ids)
    correction = torch.tensor([[1.0, -1.0], [0.0, 5.0]])
    for step, base in enumerate((0.11, 0.21, 0.31, 0.12)):
        seen = controller.observe(observation(step, step + 5), ids)
        torch.testing.assert_close(seen, torch.tensor([[step / 10, base, base], [(step + 5) / 10, base, base]]))
        chunk = controller.chunk(observation(step, step + 5), correction, ids)
        torch.testing.assert_close(chunk, torch.tensor([[[base + 0.1, base - 0.1]], [[base, base + 0.1]]]))
    assert prior.asked == [[0, 5], [3, 8]]


def test_a_new_episode_gets_a_new_plan_and_the_others_keep_theirs():
    prior = CountingPrior()
    controller, ids = controller_of(prior), np.arange(3)
    controller.reset(ids)
    controller.observe(observation(0, 0, 0), ids)
    controller.reset(ids[1:2])
    seen = controller.observe(observation(1, 1, 1), ids)
    assert seen[:, 1].tolist() == pytest.approx([0.21, 0.12, 0.21])
    assert prior.asked == [[0, 0, 0], [1]]


def test_corrected_actions_stay_within_bounds():
    controller, ids = controller_of(CountingPrior(), scale=2.0), np.arange(1)
    controller.reset(ids)
    controller.observe(observation(0), ids)
    assert controller.chunk(observation(0), torch.tensor([[1.0, -1.0]]), ids).tolist() == [[[1, -1]]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 0.0}, r"residual\.scale must lie in \(0, 2\], not 0\.0: 0 corrects nothing"),
        ({"scale": float("nan")}, r"residual\.scale must lie in"),
        ({"progressive_share": 1.5}, r"residual\.progressive_share must"),
        ({"updates_per_step": 0.0}, r"residual\.updates_per_step must be positive"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        ResidualConfig(**changes)
    assert "\n" not in str(caught.value)
