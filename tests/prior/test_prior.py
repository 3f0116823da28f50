"""The frozen prior: noise in, chunk out, the same from a file."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from expertgen.errors import FileError, UsageError
from expertgen.prior.normalizer import Normalizer
from expertgen.prior.prior import KIND, VERSION, DiffusionPrior, Prior, PriorConfig, PriorPolicy
from expertgen.runs.checkpoint import save_checkpoint

CONFIG = PriorConfig(chunk_length=4, levels=10, sampler_steps=3, width=32, depth=2)


def small_prior():
    torch.manual_seed(0)
    prior = DiffusionPrior("toy", CONFIG, observation_size=3, action_size=2)
    prior.normalizer = Normalizer.fit(2 + 5 * torch.randn(50, 3))
    with torch.no_grad():
        prior.network.leave[1].weight.mul_(4)
    return prior


def inputs(rows=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, 3, generator=generator), torch.randn(rows, 4, 2, generator=generator)


def test_keeps_the_contract():
    prior = small_prior()
    observation, noise = inputs()
    assert isinstance(prior, Prior)
    assert prior.noise_shape == (4, 2)
    chunk = prior.decode(observation, noise)
    assert chunk.shape == noise.shape
    assert chunk.dtype == torch.float32
    assert not chunk.requires_grad
    assert float(chunk.abs().max()) <= 1


def test_chunk_is_a_function_of_observation_and_noise_alone():
    prior = small_prior()
    observation, noise = inputs()
    chunk = prior.decode(observation, noise)
    torch.manual_seed(123)
    assert torch.equal(prior.decode(observation, noise), chunk)
    assert not torch.equal(prior.decode(observation, -noise), chunk)
    assert not torch.equal(prior.decode(observation + 1, noise), chunk)
    # Rows do not see one another.
    torch.testing.assert_close(prior.decode(observation[2:3], noise[2:3]), chunk[2:3])


def test_observations_are_normalised_inside():
    prior = small_prior()
    observation, noise = inputs()
    plain = small_prior()
    plain.normalizer = Normalizer(3)
    torch.testing.assert_close(
        prior.decode(observation, noise), plain.decode(prior.normalize(observation), noise), rtol=0, atol=1e-5
    )


def test_file_round_trip(tmp_path):
    prior, path = small_prior(), tmp_path / "prior.safetensors"
    prior.save(path)
    loaded = DiffusionPrior.load(path)
    assert (loaded.task, loaded.config, loaded.observation_size) == ("toy", CONFIG, 3)
    assert torch.equal(loaded.decode(*inputs()), prior.decode(*inputs()))
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path):
    prior, path = small_prior(), tmp_path / "prior.safetensors"
    description = prior.description()
    for kind, version, tensors, meta, message in (
        ("expert", VERSION, prior.state(), description, "holds a 'expert', not a 'prior'"),
        (KIND, VERSION + 1, prior.state(), description, "version 2"),
        (KIND, VERSION, {}, description, "is missing"),
        (KIND, VERSION, prior.state(), description | {"observation_size": 5}, "shape"),
        (KIND, VERSION, prior.state(), description | {"config": {"colour": "red"}}, "does not fit this version"),
        (KIND, VERSION, prior.state(), {"task": "toy"}, "does not fit this version"),
    ):
        save_checkpoint(path, kind, version, tensors, meta)
        with pytest.raises(FileError, match=message) as caught:
            DiffusionPrior.load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    prior.save(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(FileError, match="truncated"):
        DiffusionPrior.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chunk_length": 0}, r"prior\.chunk_length must be at least 1, not 0"),
        ({"batch_size": -1}, r"prior\.batch_size must be at least 1"),
        ({"iterations": 0}, r"prior\.iterations must be at least 1"),
        ({"sampler_steps": 11}, r"prior\.sampler_steps \(11\) cannot exceed prior\.levels \(10\)"),
        ({"learning_rate": 0.0}, r"prior\.learning_rate must be positive"),
        ({"learning_rate": float("nan")}, r"prior\.learning_rate must be positive"),
        ({"weight_decay": -1e-6}, r"prior\.weight_decay must not be negative"),
        ({"ema_rate": 0.0}, r"prior\.ema_rate must lie in \(0, 1\]"),
        ({"ema_rate": 1.5}, r"prior\.ema_rate must lie in \(0, 1\]"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        replace(CONFIG, **changes)
    assert "\n" not in str(caught.value)


def test_policy_under_three_kinds_of_noise():
    prior, ids = small_prior(), np.array([0, 2, 5])
    observation = inputs(3)[0].numpy()
    rows = torch.from_numpy(observation)

    zero = PriorPolicy(prior).plan(observation, ids)
    np.testing.assert_array_equal(zero, prior.decode(rows, torch.zeros(3, 4, 2)).numpy())
    assert zero.dtype == np.float32

    one = torch.randn(4, 2)
    constant = PriorPolicy(prior, noise=one).plan(observation, ids)
    np.testing.assert_array_equal(constant, prior.decode(rows, one.expand(3, 4, 2)).numpy())

    each = torch.randn(6, 4, 2)
    own = PriorPolicy(prior, noise=each).plan(observation, ids)
    np.testing.assert_array_equal(own, prior.decode(rows, each[[0, 2, 5]]).numpy())

    normal = PriorPolicy(prior, torch.Generator().manual_seed(3))
    expected = prior.decode(rows, torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(3))).numpy()
    np.testing.assert_array_equal(normal.plan(observation, ids), expected)
    assert not np.array_equal(normal.plan(observation, ids), expected), "fresh noise for every decision"
