"""The value-gradient loss: gradients of known values, the clip, and what the loss does and does not see."""

import pytest
import torch

from expertgen.dynamics.weighting.vagram import value_gradient_loss, value_gradients


def values(observation):
    """V_1 = s1² + 3 s2 and V_2 = -s1 s2."""
    return torch.stack([observation[:, 0].square() + 3 * observation[:, 1], -observation[:, 0] * observation[:, 1]])


def test_gradients_by_hand():
    states = torch.tensor([[1.0, 2.0], [-2.0, 0.5]])
    gradients = value_gradients(values, states, clip_quantile=1.0)
    assert gradients.tolist() == [[[2, 3], [-4, 3]], [[-2, -1], [-0.5, 2]]]
    assert not gradients.requires_grad


def test_long_gradients_are_shortened_to_the_quantile_of_their_critic():
    states = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    free, clipped = value_gradients(values, states, 1.0), value_gradients(values, states, 0.9)
    for before, after in zip(free.norm(dim=2), clipped.norm(dim=2), strict=True):
        bound = before.quantile(0.9)
        torch.testing.assert_close(after, before.clamp(max=bound))
    torch.testing.assert_close(torch.cosine_similarity(free, clipped, dim=2), torch.ones(2, 200))


def test_a_value_without_slope_has_gradients_zero():
    assert value_gradients(lambda s: 0 * values(s), torch.ones(3, 2)).tolist() == [[[0, 0]] * 3] * 2


def test_gradients_are_found_where_gradients_are_off():
    with torch.no_grad():
        assert value_gradients(values, torch.ones(1, 2)).shape == (2, 1, 2)


def test_loss_by_hand():
    gradients = torch.tensor([[[2.0, 3.0]], [[-2.0, -1.0]]])
    loss = value_gradient_loss(
        gradients, torch.tensor([[1.5, 1.0]]), torch.tensor([[1.0, 3.0]]), torch.tensor([2.0]), torch.tensor([0.5])
    )
    # Errors .5 and -2: (1 + 36 + 1 + 4) / 2 + 1.5².
    assert loss.tolist() == pytest.approx([21 + 2.25])


def test_the_loss_takes_members_and_keeps_the_gradients_fixed():
    gradients = torch.randn(2, 5, 4, 3, requires_grad=True)
    predicted, target = torch.randn(5, 4, 3, requires_grad=True), torch.randn(5, 4, 3)
    loss = value_gradient_loss(gradients, predicted, target, torch.zeros(5, 4), torch.zeros(5, 4))
    assert loss.shape == (5, 4)
    loss.sum().backward()
    assert gradients.grad is None
    expected = 2 * gradients.detach().square().mean(dim=0) * (predicted.detach() - target)
    torch.testing.assert_close(predicted.grad, expected)
