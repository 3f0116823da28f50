"""Distillation that is killed at random moments ends with the same bytes as distillation that is not."""

from pathlib import Path

import pytest

from expertgen.distillation.dagger import distill
from expertgen.runs.progress import drain
from tests.distillation.toys import CONFIG, TASK, ReachingExpert
from tests.killing import finish, finish_killed

pytest.importorskip("metaworld", reason="the extra vision is not installed")


def work(folder: Path) -> None:
    drain(distill(TASK, lambda seed: ReachingExpert(seed, jitter=0.1), CONFIG, 0, folder))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, finish(work, folder)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("moment", ["time", "file"])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(whole, tmp_path, moment, seed):
    folder, seconds = whole
    finish_killed(work, tmp_path, seconds, moment, seed)
    # Metrics too: a distillation logs no seconds.
    assert contents(tmp_path).keys() == {"student.safetensors", "metrics.jsonl"}
    assert contents(tmp_path) == contents(folder)
