"""Films: the right episodes are kept, with all their moments, and the files play."""

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expertgen.errors import TrainingError
from expertgen.evaluation.rollouts import run_episodes
from expertgen.reporting import film as films
from expertgen.runs.progress import drain
from expertgen.tasks.registry import get_task
from tests.toys import PointEnv, point_action, point_task

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra 'vision' is not installed")
pytest.importorskip("metaworld", reason="the extra 'vision' is not installed")


class Sometimes:
    """The toy's expert in the environments `able`; elsewhere it stands still."""

    chunk_length = 3

    def __init__(self, able: tuple[int, ...]) -> None:
        self.able = able

    def reset(self, ids: np.ndarray) -> None: ...

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        action = point_action(observation) * np.isin(ids, self.able)[:, None] * 0.5
        return np.repeat(action[:, None], self.chunk_length, 1)


class Seen:
    """Poses of a toy, as a simulator has them; its point is the only body."""

    geom_xpos, geom_xmat = np.zeros((2, 3)), np.zeros((2, 9))

    def __init__(self, env: PointEnv, index: int) -> None:
        self._env, self._index = env, index

    @property
    def xpos(self) -> np.ndarray:
        return self._env._observation[self._index, None, :2]


def test_first_success_and_first_failure_are_kept_whole():
    env = PointEnv(3, radius=0.2, task=point_task(horizon=30))
    recorder = films._Recorder(env, [Seen(env, i) for i in range(3)])
    episodes = drain(run_episodes(recorder, Sometimes(able=(1, 2)), 9, seed=0))
    ends = {
        success: min((e.steps, e.env) for e in episodes if e.success == success and e.index == 0) for success in (0, 1)
    }
    for success in (True, False):
        steps, index = ends[success]
        first = next(e for e in episodes if e.env == index and e.index == 0)
        shot = recorder.shots[success]
        assert shot.success == success
        assert len(shot.scenes) == steps + 1
        seen = np.array([scene[0][0] for scene in shot.scenes])
        np.testing.assert_allclose(seen, first.observations[:, :2], atol=1e-6)


def test_a_policy_that_never_succeeds_has_a_film_of_its_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from expertgen.tasks.metaworld import MetaWorldEnv

    class Wave:
        chunk_length = 4

        def reset(self, ids: np.ndarray) -> None: ...

        def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
            return np.ones((len(ids), 4, 4), np.float32)

    monkeypatch.setattr(films, "WIDTH", 64)
    monkeypatch.setattr(films, "HEIGHT", 48)
    env = MetaWorldEnv(replace(get_task("peg-insert-side"), horizon=12), 1)
    assert drain(films.film(env, Wave(), tmp_path, seed=0, episodes=1, frames=3)) == [tmp_path / "failure.mp4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failure.mp4", "failure.png"]
    assert films.filmed(tmp_path)
    reader = imageio_ffmpeg.read_frames(tmp_path / "failure.mp4")
    assert next(reader)["size"] == (64, 48)
    pictures = [np.frombuffer(data, np.uint8).astype(int) for data in reader]
    assert len(pictures) == 3 + films.REST
    assert np.abs(pictures[2] - pictures[0]).max() > 50
    assert np.abs(pictures[-1] - pictures[2]).max() < 20


def test_a_film_that_the_disk_cuts_short_is_no_film(tmp_path: Path):
    pictures = np.random.default_rng(0).integers(0, 256, (8, films.HEIGHT, films.WIDTH, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(TrainingError, match=r"success\.mp4: of 14 frames \d+ can be read back; free the disk"):
            films.save_film(tmp_path / "success.mp4", list(pictures))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_filming_that_was_broken_off_is_told_from_filming_that_is_done(tmp_path: Path):
    for name in ("success.png", "failure.png", "success.mp4"):
        assert not films.filmed(tmp_path)
        (tmp_path / name).touch()
    assert not films.filmed(tmp_path)
    (tmp_path / "failure.mp4").touch()
    assert films.filmed(tmp_path)
