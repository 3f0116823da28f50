"""A run that is killed at random moments ends with the same bytes as one that is not."""

from dataclasses import replace
from pathlib import Path

import pytest

from expertgen.dynamics.termination import TERMINATIONS
from expertgen.mbrl.run import run_mbrl
from expertgen.runs.files import read_json
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from tests.killing import finish, finish_killed
from tests.mbrl.toy import TASK, TINY, lost


def work(folder: Path) -> None:
    TERMINATIONS[TASK.id] = lost  # in a process of its own
    drain(run_mbrl(replace(TINY, weighting="tom-chi2"), folder, "expertgen mbrl toy"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, finish(work, folder)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("moment", ["time", "file"])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(whole, tmp_path, moment, seed):
    folder, seconds = whole
    finish_killed(work, tmp_path, seconds, moment, seed)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in folder.iterdir())
    assert (tmp_path / "agent.safetensors").read_bytes() == (folder / "agent.safetensors").read_bytes()
    logged, expected = read_metrics(tmp_path), read_metrics(folder)
    assert [row | {"seconds": 0} for row in logged] == [row | {"seconds": 0} for row in expected]
    resumed, straight = read_json(tmp_path / "results.json"), read_json(folder / "results.json")
    assert resumed["return"] == straight["return"]
