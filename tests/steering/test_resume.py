"""Steering that is killed at random moments ends with the same bytes as steering that is not."""

from functools import partial
from pathlib import Path

import pytest

from expertgen.prior.prior import DiffusionPrior
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from expertgen.steering.steer import steer
from tests.killing import finish, finish_killed
from tests.steering.toy import TASK, TINY


def work(prior_file: Path, folder: Path) -> None:
    drain(steer(TASK, DiffusionPrior.load(prior_file), TINY, 0, folder))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick_prior_file):
    folder = tmp_path_factory.mktemp("whole")
    return folder, finish(partial(work, quick_prior_file), folder)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("moment", ["time", "file"])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(whole, quick_prior_file, tmp_path, moment, seed):
    folder, seconds = whole
    finish_killed(partial(work, quick_prior_file), tmp_path, seconds, moment, seed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expert.safetensors", "metrics.jsonl"]
    assert (tmp_path / "expert.safetensors").read_bytes() == (folder / "expert.safetensors").read_bytes()
    logged, expected = read_metrics(tmp_path), read_metrics(folder)
    assert all("seconds" in row for row in logged)
    assert [row | {"seconds": 0} for row in logged] == [row | {"seconds": 0} for row in expected]
