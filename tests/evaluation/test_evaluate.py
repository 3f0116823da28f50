"""The summary of a hand-made set of episodes, and its files."""

import json
from pathlib import Path

import numpy as np
import pytest

from expertgen.demos.store import Demo, DemoSet
from expertgen.errors import FileError, UsageError
from expertgen.evaluation.evaluate import (
    Evaluation,
    Failure,
    demo_episodes,
    load_failures,
    save_episodes,
    summarize,
)
from expertgen.evaluation.results import Results
from expertgen.evaluation.rollouts import Episode
from tests.toys import point_task


def episode(env: int, steps: int, success: bool, at: float = 0.0) -> Episode:
    actions = np.zeros((steps, 2), np.float32)
    actions[0, 0] = 1.0
    return Episode(env, 0, success, steps, np.full((steps + 1, 4), at, np.float32), actions)


EPISODES = [episode(0, 10, True), episode(1, 20, True, at=1.0), episode(2, 40, False), episode(3, 40, False)]


def demo_set(*at: float) -> DemoSet:
    zeros = np.zeros((6, 2), np.float32)
    demos = [Demo(np.full((6, 4), x, np.float32), zeros, zeros[:, 0], x > 1, seed=0, source="test") for x in at]
    return DemoSet("toy-point", (("point_position", 0, 2), ("goal_position", 2, 4)), tuple(demos))


def results(**stages: Evaluation) -> Results:
    return Results("toy-point", 0, "expertgen run toy-point", stages, 812.5, {"python": "3.11.9"}, {"prior": "frozen"})


def test_summary_by_hand():
    summary = summarize(EPISODES, seed=7, seconds=1.5, task=point_task(), demos=demo_set(0.0, 3.0))
    assert summary.success == 0.5
    assert (summary.low, summary.high) == pytest.approx((0.1500, 0.8500), abs=5e-5)
    assert (summary.episodes, summary.seeds, summary.seconds, summary.env_steps) == (4, (7,), 1.5, 110)
    assert summary.steps_to_success == 15
    # One pulse of 1 at the start: its third difference is -1 at the first of (steps - 3) × 2 entries.
    assert summary.jerk == pytest.approx(np.mean([np.sqrt(1 / (2 * (n - 3))) for n in (10, 20, 40, 40)]))
    assert summary.saturation == pytest.approx(np.mean([1 / 20, 1 / 40, 1 / 80, 1 / 80]))
    # Episode 1 stands still at (1, 1, 1, 1), two metres from the nearer demonstration's (0, 0, 0, 0); the others on it.
    assert summary.dtw == pytest.approx(0.5)
    assert summary.failures == (Failure(7, 2, 0, 40), Failure(7, 3, 0, 40))


def test_what_cannot_be_measured_is_none_and_not_nan():
    summary = summarize([episode(0, 2, False)], seed=0, seconds=0.0, task=point_task())
    assert summary.steps_to_success is None
    assert summary.jerk is None
    assert summary.dtw is None
    json.dumps(summary.to_json(), allow_nan=False)


def test_no_episodes_are_refused():
    with pytest.raises(UsageError, match="no episodes"):
        summarize([], 0, 0.0, point_task())


def test_demonstrations_are_summarized_like_episodes():
    summary = summarize(demo_episodes(demo_set(0.0, 2.0, 3.0)), seed=0, seconds=0.0, task=point_task())
    assert summary.success == pytest.approx(2 / 3)
    assert (summary.episodes, summary.env_steps, summary.steps_to_success) == (3, 18, 6)


def test_json_form_is_stable():
    value = summarize(EPISODES, 7, 1.5, point_task()).to_json()
    assert list(value) == [
        "success",
        "low",
        "high",
        "episodes",
        "seeds",
        "seconds",
        "env_steps",
        "steps_to_success",
        "jerk",
        "dtw",
        "saturation",
    ]
    again = Evaluation.from_json(json.loads(json.dumps(value | {"key_of_the_future": 1})))
    assert again.to_json() == value
    with pytest.raises(FileError, match="lacks low"):
        Evaluation.from_json({k: v for k, v in value.items() if k != "low"})


def test_episodes_file(tmp_path: Path):
    save_episodes(tmp_path / "episodes.json", EPISODES, seed=7)
    assert load_failures(tmp_path / "episodes.json") == (Failure(7, 2, 0, 40), Failure(7, 3, 0, 40))
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(FileError, match=r"other\.json"):
        load_failures(tmp_path / "other.json")


def test_results_file(tmp_path: Path):
    evaluation = summarize(EPISODES, 7, 1.5, point_task())
    path = tmp_path / "results.json"
    results(expert=evaluation, demos=evaluation, blind_student=evaluation).save(path)
    value = json.loads(path.read_text())
    names = [
        "format",
        "task",
        "seed",
        "command",
        "demos",
        "expert",
        "blind_student",
        "notes",
        "peak_memory_mb",
        "versions",
    ]
    assert list(value) == names
    loaded = Results.load(path)
    assert loaded.stages["expert"].to_json() == evaluation.to_json()
    assert (loaded.task, loaded.peak_memory_mb, loaded.notes) == ("toy-point", 812.5, {"prior": "frozen"})


def test_results_refuse_what_they_do_not_know(tmp_path: Path):
    with pytest.raises(UsageError, match="did you mean 'expert'"):
        results(exprt=summarize(EPISODES, 7, 1.5, point_task()))
    path = tmp_path / "results.json"
    for text, complaint in [("{", "not a readable"), ("[]", "format 1"), ('{"format": 1}', "lacks 'task'")]:
        path.write_text(text)
        with pytest.raises(FileError, match=complaint):
            Results.load(path)
