"""Footage: pictures show what was recorded, other courses are refused, and LeRobot's columns fit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expertgen.demos.exchange import export_demos, import_demos
from expertgen.demos.store import Demo, DemoSet, fields_of
from expertgen.errors import UsageError
from expertgen.runs.progress import drain
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task, make_env
from tests.toys import point_task

ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra 'vision' is not installed")
pytest.importorskip("metaworld", reason="the extra 'vision' is not installed")

from expertgen.demos.formats.lerobot_tables import Footage, _pooled_colors, color_statistics  # noqa: E402
from expertgen.vision.footage import shoot  # noqa: E402
from expertgen.vision.live import LiveShader  # noqa: E402
from expertgen.vision.scene import capture  # noqa: E402

TASK = get_task("hammer")
LENGTHS = (5, 3, 4)
SIZE = (64, 48)


def wander(task=TASK):
    """Three demonstrations with random actions, and the scene of every step where the simulator shows its bodies."""
    env = MetaWorldEnv(task, 1) if task is TASK else make_env(task, 1)
    generator, demos, scenes = np.random.default_rng(0), [], []
    for i, length in enumerate(LENGTHS):
        observation, _ = env.reset(seed=i)
        observations, actions = [], generator.uniform(-1, 1, (length, 4)).astype(np.float32)
        for action in actions:
            observations.append(observation[0])
            if isinstance(env, MetaWorldEnv):
                scenes.append(capture(env.datas[0]))
            observation = env.step(action[None])[0]
        rewards = np.zeros(length, np.float32)
        demos.append(Demo(np.stack(observations), actions, rewards, i == 0, i, f"wanderer {i}"))
    return DemoSet(task.id, fields_of(task), tuple(demos)), scenes


def pictures(path):
    reader = ffmpeg.read_frames(path)
    size = next(reader)["size"]
    return [np.frombuffer(data, np.uint8).reshape(size[1], size[0], 3).astype(int) for data in reader]


def moved(demos, number, by):
    """The demonstrations, of which one's hand is elsewhere in its last step than its actions bring it."""
    observations = demos.demos[number].observations.copy()
    observations[-1, 2] += by
    changed = list(demos.demos)
    changed[number] = replace(changed[number], observations=observations)
    return replace(demos, demos=tuple(changed))


def test_every_picture_shows_its_control_step(tmp_path):
    demos, scenes = wander()
    width, height = 160, 120
    kept, films = drain(shoot(demos, TASK, ("front", "hand"), tmp_path, (width, height)))
    assert kept.demos == demos.demos
    assert [film.camera for film in films] == ["front", "hand"]
    camera = replace(TASK.cameras[0], width=width, height=height)
    shader = LiveShader(MetaWorldEnv(TASK, 1).models[0])
    drawn = [shader.frame(scene, camera).astype(int) for scene in scenes]
    seen = pictures(films[0].path)
    assert len(seen) == sum(LENGTHS) == len(pictures(films[1].path))
    for i, picture in enumerate(seen):
        differences = [np.abs(picture - other).mean() for other in drawn]
        assert np.argmin(differences) == i
        assert differences[i] < 8  # of 255; H.264 halves the resolution of colours


def test_what_envpool_recorded_is_replayed(tmp_path):
    task = get_task("peg-insert-side")
    assert task.simulator == "envpool"
    demos, _ = wander(task)
    kept, films = drain(shoot(demos, task, ("side",), tmp_path, SIZE))
    assert len(kept) == 3
    assert len(pictures(films[0].path)) == sum(LENGTHS)


def test_demonstrations_may_be_longer_than_the_time_limit(tmp_path):
    demos, _ = wander()
    short = replace(TASK, horizon=2)
    assert len(drain(shoot(demos, short, ("front",), tmp_path, SIZE))[0]) == 3


def test_another_course_is_refused_or_left_out(tmp_path):
    demos, _ = wander()
    assert len(drain(shoot(moved(demos, 1, 0.009), TASK, ("front",), tmp_path, SIZE))[0]) == 3
    changed = moved(demos, 1, 0.02)
    with pytest.raises(
        UsageError, match=r"demonstration 1 takes another course .*: hand_position is 0.020 m off at step 2"
    ):
        drain(shoot(changed, TASK, ("front",), tmp_path, SIZE))
    kept, films = drain(shoot(changed, TASK, ("front",), tmp_path, SIZE, skip_broken=True))
    assert [demo.source for demo in kept.demos] == ["wanderer 0", "wanderer 2"]
    assert "left out demonstration 1" in kept.notes[0]
    assert len(films[0].colors) == 2
    lost = moved(moved(moved(demos, 0, 1), 1, 1), 2, 1)
    with pytest.raises(UsageError, match="no demonstration can be filmed"):
        drain(shoot(lost, TASK, ("front",), tmp_path, SIZE, skip_broken=True))


def test_lerobot_knows_where_each_episode_is_in_the_film(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra 'lerobot' is not installed")
    demos, _ = wander()
    kept, films = drain(shoot(demos, TASK, ("front",), tmp_path, SIZE))
    export_demos(kept, TASK, tmp_path / "set", "lerobot", films)
    key = "observation.images.front"
    film = tmp_path / "set/videos" / key / "chunk-000/file-000.mp4"
    assert film.read_bytes() == films[0].path.read_bytes()
    rows = pq.read_table(tmp_path / "set/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    spans = [(row[f"videos/{key}/from_timestamp"], row[f"videos/{key}/to_timestamp"]) for row in rows]
    ends = np.cumsum((0, *LENGTHS)) / TASK.control_rate
    np.testing.assert_allclose(spans, np.stack([ends[:-1], ends[1:]], axis=1))
    info = json.loads((tmp_path / "set/meta/info.json").read_text())["features"][key]
    assert (info["dtype"], info["shape"], info["info"]["video.fps"]) == ("video", [48, 64, 3], 80)
    whole = json.loads((tmp_path / "set/meta/stats.json").read_text())[key]
    assert np.shape(whole["mean"]) == (3, 1, 1)
    assert whole["count"] == [12]
    again = import_demos(tmp_path / "set", TASK)
    np.testing.assert_array_equal(again.demos[2].observations, demos.demos[2].observations)
    assert any(key in note for note in again.notes)


def test_statistics_of_a_film_are_those_of_its_pixels():
    generator = np.random.default_rng(0)
    parts = [generator.integers(0, high, (size * 10, 3), np.uint8) for high, size in ((255, 3), (90, 7))]
    film = Footage("front", Path("front.mp4"), 8, 8, [color_statistics(part) for part in parts])
    pooled, pixels = _pooled_colors(film, [3, 7]), np.concatenate(parts) / 255
    for name, value in (
        ("min", pixels.min(0)),
        ("max", pixels.max(0)),
        ("mean", pixels.mean(0)),
        ("std", pixels.std(0)),
    ):
        np.testing.assert_allclose(np.ravel(pooled[name]), value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"cameras": ("fornt",)}, r"task 'hammer' has no camera 'fornt'.*front"),
        ({"size": (63, 48)}, "pictures of 63×48 cannot be encoded: width and height must be even"),
    ],
)
def test_what_cannot_be_filmed_is_refused(tmp_path, words, message):
    demos, _ = wander()
    with pytest.raises(UsageError, match=message):
        drain(shoot(demos, TASK, **{"cameras": ("front",), "folder": tmp_path, "size": SIZE, **words}))


def test_tasks_without_bodies_to_see_are_refused(tmp_path):
    task = replace(point_task(), cameras=TASK.cameras)
    demo = Demo(np.zeros((2, 4), np.float32), np.zeros((2, 2), np.float32), np.zeros(2, np.float32), True, 0, "x")
    with pytest.raises(UsageError, match="pictures are for MetaWorld's tasks"):
        drain(shoot(DemoSet(task.id, fields_of(task), (demo,)), task, ("front",), tmp_path))


def test_other_formats_hold_no_films(tmp_path):
    demos, _ = wander()
    film = Footage("front", tmp_path / "front.mp4", *SIZE, [])
    with pytest.raises(UsageError, match="format 'npz' holds no pictures; leave --cameras out"):
        export_demos(demos, TASK, tmp_path / "x.npz", "npz", [film])
