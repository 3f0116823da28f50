"""Priors that the tests of this layer share."""

import pytest

from tests.steering.toy import train_toy_prior


@pytest.fixture(scope="package")
def prior(tmp_path_factory):
    return train_toy_prior(tmp_path_factory.mktemp("prior"))


@pytest.fixture(scope="package")
def quick_prior_file(tmp_path_factory):
    """A prior that has hardly been trained, for tests in which nothing is learnt."""
    folder = tmp_path_factory.mktemp("quick")
    train_toy_prior(folder, iterations=20)
    return folder / "prior.safetensors"
