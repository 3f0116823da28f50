"""Episodes by a person: what is kept, dropped and redone, and what survives a crash."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expertgen.demos.recorder import Recorder
from expertgen.demos.store import DemoSet
from expertgen.errors import FileError, TrainingError, UsageError
from tests.demos.builders import demo_set
from tests.toys import PointEnv, point_action, point_task

RIGHT = np.array([1.0, 0.0], np.float32)


def make(path, **options):
    return Recorder(PointEnv(1, radius=0.2, task=point_task(horizon=30)), path, "somebody", **options)


def solve(recorder):
    while recorder.phase != "ended":
        recorder.step(point_action(recorder.observation[None])[0])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "demos" / "point.h5"


def test_an_episode_from_start_to_file(path):
    recorder = make(path)
    assert (recorder.phase, recorder.steps, recorder.kept) == ("ready", 0, 0)
    start = recorder.observation.copy()
    recorder.step(2 * RIGHT)
    assert (recorder.phase, recorder.steps) == ("running", 1)
    recorder.keep()  # not before it has ended
    assert recorder.kept == 0
    solve(recorder)
    assert recorder.success
    steps = recorder.steps
    recorder.step(RIGHT)  # it stays as it is
    assert recorder.steps == steps
    recorder.keep()
    assert (recorder.phase, recorder.kept, recorder.successes, recorder.seed) == ("ready", 1, 1, 1)
    demo = DemoSet.load(path).demos[0]
    assert (len(demo.actions), demo.success, demo.seed, demo.source) == (steps, True, 0, "somebody")
    np.testing.assert_array_equal(demo.observations[0], start)
    np.testing.assert_array_equal(demo.actions[0], RIGHT)  # clipped


def test_failures_are_kept_as_failures(path):
    recorder = make(path)
    for _ in range(30):
        recorder.step(np.zeros(2))
    assert (recorder.phase, recorder.success) == ("ended", False)  # out of time
    recorder.keep()
    recorder.step(RIGHT)
    recorder.stop()
    assert recorder.phase == "ended"
    recorder.keep()
    assert (recorder.kept, recorder.successes) == (2, 0)
    assert [len(demo.actions) for demo in DemoSet.load(path).demos] == [30, 1]


def test_redo_repeats_the_start_and_drop_does_not(path):
    recorder = make(path)
    start = recorder.observation.copy()
    recorder.step(RIGHT)
    recorder.redo()
    np.testing.assert_array_equal(recorder.observation, start)
    assert (recorder.phase, recorder.steps, recorder.seed) == ("ready", 0, 0)
    recorder.drop()
    assert recorder.seed == 1
    assert (recorder.observation != start).any()
    assert not path.exists()


def test_recording_goes_on_where_it_was_left(path):
    recorder = make(path)
    for _ in range(2):
        solve(recorder)
        recorder.keep()
    recorder.close()
    again = make(path)
    assert (again.kept, again.seed, again.recovered) == (2, 2, 0)


@pytest.mark.parametrize("steps", [1, 4])
def test_what_a_crash_interrupted_is_brought_back(path, steps):
    recorder = make(path)
    for _ in range(steps):
        recorder.step(RIGHT / 3)
    recorder.checkpoint()
    recorder._lock.close()  # as the end of the process does
    again = make(path)
    assert (again.phase, again.steps, again.recovered, again.seed) == ("running", steps, steps, 0)
    np.testing.assert_array_equal(again.observation, recorder.observation)
    for one in (recorder, again):
        solve(one)
    np.testing.assert_array_equal(again.observation, recorder.observation)
    again.keep()
    assert DemoSet.load(path).demos[0].success


def test_an_episode_that_was_kept_just_before_the_crash_is_not_there_twice(path):
    recorder = make(path)
    solve(recorder)
    recorder.checkpoint()
    recorder.keep()
    recorder._lock.close()
    again = make(path)
    assert (again.kept, again.recovered, again.phase) == (1, 0, "ready")
    again.checkpoint()
    assert not again.unfinished.exists()


def test_what_another_simulator_recorded_can_be_kept_but_not_gone_on_with(path):
    recorder = make(path)
    recorder.step(RIGHT)
    recorder.checkpoint()
    recorder._lock.close()
    found = DemoSet.load(recorder.unfinished)
    found.demos[0].observations[0, 0] += 0.5
    found.save(recorder.unfinished)
    again = make(path)
    assert (again.phase, again.recovered) == ("ended", 1)
    again.keep()
    np.testing.assert_array_equal(DemoSet.load(path).demos[0].observations, found.demos[0].observations)


def test_a_full_disk_loses_nothing(path, monkeypatch):
    recorder = make(path)
    solve(recorder)

    def full(*_):
        raise TrainingError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(DemoSet, "save", full)
        with pytest.raises(TrainingError):
            recorder.keep()
    assert (recorder.phase, recorder.kept) == ("ended", 0)
    recorder.keep()
    assert recorder.kept == 1


def test_what_cannot_be_used_is_refused(path, tmp_path):
    recorder = make(path)
    with pytest.raises(UsageError, match=r"somebody else records into .*choose another file with --out"):
        make(path)
    recorder.close()
    with pytest.raises(UsageError, match="seed must not be negative"):
        make(path, seed=-1)
    with pytest.raises(UsageError, match="one environment, not 2"):
        Recorder(PointEnv(2, radius=0.2, task=point_task(horizon=30)), path, "somebody")
    path.write_text("no demonstrations")
    with pytest.raises(FileError, match=r"point\.h5"):
        make(path)
    path.unlink()
    recorder.unfinished.write_text("no demonstrations")
    with pytest.raises(FileError, match=r"delete .*point.unfinished.h5 to go on"):
        make(path)
    others = tmp_path / "other.h5"
    replace(demo_set(), task="another").save(others)
    with pytest.raises(UsageError, match="these are demonstrations of 'another'"):
        make(others)
