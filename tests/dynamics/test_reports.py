"""Errors and calibration on worlds where they are known."""

from dataclasses import replace

import pytest
import torch

from expertgen.dynamics.ensemble import GaussianEnsemble
from expertgen.dynamics.model import ModelConfig
from expertgen.dynamics.reports import (
    calibration,
    error_report,
    one_step_error,
    open_loop_error,
    target_variance,
    window_starts,
)
from expertgen.dynamics.transitions import Transitions
from expertgen.errors import UsageError
from tests.dynamics.toys import toy


def generator():
    return torch.Generator().manual_seed(0)


def known(change: float, deviation: float = 1e-4) -> GaussianEnsemble:
    """A model that says, everywhere: every column grows by `change`, with that deviation; the reward is 0."""
    model = GaussianEnsemble(2, 1, ModelConfig(members=2, elites=2, width=4, depth=1))
    with torch.no_grad():
        for parameter in model.networks.parameters():
            parameter.zero_()
        model.networks.biases[-1][..., :2] = change
        model.bounds.lower.fill_(-30.0)
        model.bounds.upper.fill_(30.0)
        model.networks.biases[-1][..., 3:] = 2 * torch.tensor(deviation).log()
    return model


def walk(lengths: list[int], step: float = 1.0) -> Transitions:
    """Episodes in which every column grows by `step` from 0; each ends by truncation."""
    x = torch.cat([torch.arange(length) * step for length in lengths])
    ends = torch.cat([torch.arange(length) == length - 1 for length in lengths])
    state = x[:, None].repeat(1, 2)
    rows = len(x)
    return Transitions(state, torch.zeros(rows, 1), torch.zeros(rows), state + step, torch.zeros(rows).bool(), ends)


def test_windows_do_not_cross_the_ends_of_episodes():
    data = walk([3, 1, 4])
    assert window_starts(data, 1).tolist() == list(range(8))
    assert window_starts(data, 2).tolist() == [0, 1, 4, 5, 6]
    assert window_starts(data, 3).tolist() == [0, 4, 5]
    assert window_starts(data, 4).tolist() == [4]
    assert window_starts(data, 5).tolist() == []
    assert window_starts(data, 100).tolist() == []
    # An episode that was abandoned without a flag: its last observation is not where the next row begins.
    assert window_starts(replace(data, truncated=torch.zeros(8).bool()), 3).tolist() == [0, 4, 5]


def test_windows_of_environments_that_take_turns():
    one, other = walk([3, 2]), walk([5])
    order = torch.arange(10).view(2, 5).T.flatten()
    data = Transitions(*(torch.cat([getattr(one, n), getattr(other, n)])[order] for n in one.tensors()))
    assert window_starts(data, 3, num_envs=2).tolist() == [0, 1, 3, 5]


def test_errors_by_hand_grow_with_the_square_of_the_horizon():
    data, unit = walk([6, 6], step=1.0), torch.tensor([1.0, 4.0, 1.0])
    model = known(change=0.9)
    torch.testing.assert_close(one_step_error(model, data, unit), torch.tensor([0.01, 0.0025, 0.0]))
    expected = torch.tensor([[0.01, 0.0025, 0.0]]) * torch.arange(1, 5)[:, None] ** 2
    torch.testing.assert_close(open_loop_error(model, data, unit, 4), expected)
    with pytest.raises(UsageError, match="no episode among 12 transitions is as long as the horizon of 7 steps"):
        open_loop_error(model, data, unit, 7)


def test_the_unit_is_the_variance_of_the_change_and_of_the_reward():
    data = toy(4000, 0)
    torch.testing.assert_close(target_variance(data)[2], data.reward.var(correction=0))
    model = known(0.0)
    change = data.next_observation - data.observation
    expected = change.square().mean(0) / change.var(dim=0, correction=0)
    torch.testing.assert_close(one_step_error(model, data, target_variance(data))[:2], expected)


@pytest.mark.parametrize(("claimed", "squared"), [(0.1, 1.0), (0.05, 4.0), (0.2, 0.25)])
def test_calibration_finds_the_true_deviation(claimed, squared):
    data = walk([2000], step=0.0)
    noise = torch.randn(2000, 3, generator=generator()) * 0.1
    data = replace(data, next_observation=noise[:, :2], reward=noise[:, 2])
    found = calibration(known(0.0, claimed), data, generator(), samples=100)
    torch.testing.assert_close(found.squared_residual, torch.full((3,), squared), rtol=0.1, atol=0)
    normal = torch.distributions.Normal(0.0, 0.1)
    bound = torch.distributions.Normal(0.0, claimed).icdf(torch.tensor(0.5 + 0.8 / 2))
    expected = 2 * normal.cdf(bound) - 1
    torch.testing.assert_close(found.observed, expected.expand(3), atol=0.05, rtol=0)


def test_the_report_has_both_sides():
    buffer, new = walk([50] * 4), walk([20, 20], step=1.5)
    buffer = replace(
        buffer, next_observation=buffer.next_observation + 0.1 * torch.randn(200, 2, generator=generator())
    )
    buffer = replace(buffer, reward=0.1 * torch.randn(200, generator=generator()))
    new = replace(new, reward=0.1 * torch.randn(40, generator=generator()))
    unit = target_variance(buffer)
    numbers = error_report(known(1.0, 0.1), new, buffer, unit, generator(), horizon=3)
    assert numbers["error_newest"] > numbers["error_buffer"]
    assert numbers["error_newest_3_steps"] > numbers["error_newest"]
    assert numbers["residual_buffer"] == pytest.approx(1.0, rel=0.3)
    assert numbers["residual_newest"] > 4
    assert numbers["coverage_buffer"] > 0.7 > 0.5 > numbers["coverage_newest"]
    assert "error_newest_30_steps" not in error_report(known(1.0), new, buffer, unit, generator(), horizon=30)
    alone = error_report(known(1.0), new, buffer[torch.arange(0)], unit, generator(), horizon=3)
    assert "error_newest" in alone
    assert "error_buffer" not in alone, "no older data were held out yet"
