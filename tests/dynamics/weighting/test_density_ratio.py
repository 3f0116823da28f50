"""The discriminator: a known 1-D ratio, no difference where there is none, its floor, clip, warm start and bits."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expertgen.dynamics.weighting.density_ratio import DensityRatio, DensityRatioConfig, NewestRatio
from expertgen.errors import FileError, UsageError
from tests.dynamics.weighting.toys import gaussian_stream, transitions

SMALL = DensityRatioConfig(newest=50, steps=20, batch_size=32, width=16)


def ratio(config=SMALL, sizes=(3, 2), seed=0):
    return DensityRatio(*sizes, config, torch.Generator().manual_seed(seed))


def test_nothing_is_claimed_before_training():
    assert torch.equal(ratio().log_ratio(transitions(10)), torch.zeros(10))


def test_equal_distributions_have_a_small_log_ratio():
    data = transitions(4000)
    fitted = ratio(DensityRatioConfig(newest=2000, steps=100, width=32))
    fitted.fit(data)
    assert float(fitted.log_ratio(data).abs().mean()) < 0.1


def test_all_layers_learn():
    fitted, fresh = ratio(), ratio()
    fitted.fit(transitions(200))
    before = dict(fresh.network.named_parameters())
    for name, parameter in fitted.network.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_units_of_the_inputs_do_not_matter():
    data = transitions(300)
    scaled = replace(data, observation=1000 * data.observation + 5, next_observation=1000 * data.next_observation + 5)
    results = []
    for rows in (data, scaled):
        fitted = ratio()
        fitted.fit(rows)
        results.append(fitted.log_ratio(rows))
    torch.testing.assert_close(results[0], results[1], rtol=0.05, atol=5e-3)


def test_a_soft_label_is_a_floor_under_the_ratio():
    # The newest lie far from all others, so the others' ratio is 0; with label .1 it is .1 / .9.
    data = transitions(400)
    data.observation[-40:] += 8
    config = DensityRatioConfig(newest=40, steps=250, batch_size=64, width=32, gradient_penalty=0, learning_rate=5e-3)
    floors = []
    for label in (0.0, 0.1):
        fitted = ratio(replace(config, label_floor=label))
        fitted.fit(data)
        floors.append(float(fitted.log_ratio(data)[:-40].mean()))
    assert floors[0] < -4
    assert floors[1] == pytest.approx(-2.197, abs=0.3)


def test_the_penalty_holds_the_slope_and_the_clip_the_value():
    data = transitions(400)
    data.observation[-40:] += 8
    steep = []
    for penalty in (0.0, 10.0):
        fitted = ratio(replace(SMALL, newest=40, steps=150, learning_rate=5e-3, gradient_penalty=penalty))
        fitted.fit(data)
        at = torch.linspace(-1, 4, 50)[:, None].expand(-1, 8).clone().requires_grad_()
        (slope,) = torch.autograd.grad(fitted.network(at).sum(), at)
        steep.append(float(slope.norm(dim=1).max()))
        assert float(fitted.log_ratio(data).abs().max()) <= 5
    assert steep[1] < 1.5 < 2 < steep[0]


def test_a_refit_begins_where_the_last_one_ended():
    data = transitions(300)
    data.observation[-50:] += 1
    once, twice = ratio(replace(SMALL, steps=40)), ratio()
    once.fit(data)
    twice.fit(data)
    twice.fit(data)
    assert torch.equal(once.log_ratio(data), twice.log_ratio(data))


def test_saved_and_loaded_it_continues_to_the_same_bits():
    data = transitions(300)
    whole = ratio()
    whole.fit(data)
    tensors = {name: value.clone() for name, value in whole.state().items()}
    position = whole.generator.get_state()
    whole.fit(data)
    resumed = ratio(seed=7)
    resumed.load_state(tensors, Path("x"))
    resumed.generator.set_state(position)
    resumed.fit(data)
    assert torch.equal(resumed.log_ratio(data), whole.log_ratio(data))
    del tensors["network.head.bias"]
    with pytest.raises(FileError, match=r"y: tensor 'head\.bias' is missing"):
        ratio().load_state(tensors, Path("y"))


def test_a_known_ratio():
    data, _, _, truth = gaussian_stream(0)
    fitted = ratio(DensityRatioConfig(newest=1000, steps=300, width=32, learning_rate=3e-3), sizes=(1, 1))
    fitted.fit(data)
    assert float(torch.corrcoef(torch.stack([fitted.log_ratio(data), truth]))[0, 1]) > 0.97


def test_without_a_discriminator():
    newest = NewestRatio(3)
    newest.fit(transitions(5))
    assert newest.log_ratio(transitions(5)).tolist() == [0, 0, 1, 1, 1]
    assert newest.log_ratio(transitions(2)).tolist() == [1, 1]
    assert newest.state() == {}
    with pytest.raises(UsageError, match=r"ratio\.newest must be at least 1, not 0"):
        NewestRatio(0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("newest", 0),
        ("steps", 0),
        ("learning_rate", 0.0),
        ("clip", -1.0),
        ("gradient_penalty", -1.0),
        ("label_floor", 0.5),
    ],
)
def test_impossible_options_are_refused(name, value):
    with pytest.raises(UsageError, match=rf"ratio\.{name} must"):
        replace(SMALL, **{name: value})
