"""Following a loop shows a bar for each stage and hands on what the loop returns."""

import io
import itertools

import pytest
from rich.console import Console

from expertgen.runs import progress
from expertgen.runs.progress import StageProgress, drain, follow, timed


def loop():
    """Training and validation take turns; the result comes at the end."""
    for segment in range(2):
        for step in (1, 2):
            done = 1000 * (2 * segment + step)
            yield StageProgress("train", done, 8000, "env steps", {"success": done / 4000})
        for done in (8, 16):
            yield StageProgress("validate", done, 16, "episodes", {"success": 0.5})
    return "result"


def shown(stages, monkeypatch, width=160):
    """The lines that are left on a screen when every step of the loop takes one second."""
    clock = itertools.count()
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    screen = io.StringIO()
    result = follow(stages, Console(file=screen, width=width))
    return result, [line for line in screen.getvalue().splitlines() if line.strip()]


def test_follow_returns_the_result_and_shows_each_stage(monkeypatch):
    result, lines = shown(loop(), monkeypatch)
    assert result == "result"
    train, validate = lines
    assert train.startswith("train")
    assert " 50% " in train
    assert "1,000 env steps/s" in train or "500 env steps/s" in train
    assert "success 1" in train
    assert validate.startswith("validate")
    assert "100%" in validate
    assert "-" not in validate.split("episodes/s")[0], "a stage's rate counts its own units alone"


def test_eighty_columns_lose_the_bar_and_no_word(monkeypatch):
    def stages():
        yield StageProgress("steer", 26_000, 300_000, "env steps", {"success": 0.934, "validated": 0.961})
        yield StageProgress("steer", 52_000, 300_000, "env steps", {"success": 0.934, "validated": 0.961})
        yield StageProgress("evaluate constant_noise", 1, 256, "episodes", {"success": 0.934})

    _, lines = shown(stages(), monkeypatch, width=80)
    assert "━" not in "".join(lines)
    assert "…" not in "".join(lines)
    for words in ("steer", "13,000 env steps/s", "left 00:", "success 0.934", "validated 0.961"):
        assert words in "".join(lines)
    assert lines[-1].startswith("evaluate constant_noise ")
    assert "━" in "".join(shown(stages(), monkeypatch)[1])


def test_slow_stages_have_a_rate(monkeypatch):
    loop = (StageProgress("draw", done, 32, "frames") for done in (0, 1, 2))
    assert "0.7 frames/s" in shown(loop, monkeypatch)[1][0]


def test_a_loop_that_says_nothing(monkeypatch):
    result, lines = shown((x for x in ()), monkeypatch)
    assert result is None
    assert lines == []


def test_errors_come_through():
    def broken():
        yield StageProgress("train", 1, 2, "steps")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        follow(broken(), Console(file=io.StringIO()))
    with pytest.raises(ZeroDivisionError):
        drain(broken())


def test_drain_returns_the_result():
    assert drain(loop()) == "result"


def test_time_is_counted_over_all_sessions(tmp_path, monkeypatch):
    path = tmp_path / "seconds.json"
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def stage(steps):
        for step in range(steps):
            now[0] += 3
            yield StageProgress("train", step, steps, "steps")
        return "result"

    killed = timed(stage(5), path)
    for _ in range(4):
        next(killed)
    killed.close()
    # Saved at most every five seconds: after 6, not yet again after 12.
    assert drain(timed(stage(2), path)) == ("result", pytest.approx(12 + 6))
    assert drain(timed(stage(0), path)) == ("result", pytest.approx(18))
