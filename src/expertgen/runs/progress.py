"""Progress of a stage: loops are generators that yield it, and whoever drives them decides about printing."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from expertgen.runs.files import read_json, write_json

Result = TypeVar("Result")


@dataclass(frozen=True)
class StageProgress:
    """Where a stage stands.

    Attributes:
        stage: name of the stage, e.g. `"steer"`.
        done: units finished.
        total: units to do.
        unit: what is counted, e.g. `"env steps"`.
        metrics: what a person wants to see now, e.g. `{"success": 0.93}`.
    """

    stage: str
    done: int
    total: int
    unit: str
    metrics: dict[str, float] = field(default_factory=dict)


def follow(loop: Generator[StageProgress, None, Result], console: Console) -> Result:
    """Drives a stage to its end with one bar: rate, metrics so far, time left. Returns what the stage returns."""
    columns = (
        TextColumn("[bold]{task.description:<18}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}"),
    )
    start, first, last = time.monotonic(), None, None
    with Progress(*columns, console=console, refresh_per_second=4) as bar:
        task = bar.add_task("...", total=None, rate="", shown="")
        while True:
            try:
                now = next(loop)
            except StopIteration as stop:
                if last is not None:
                    bar.update(task, completed=last.total)
                return stop.value
            first = now.done if first is None else first
            last = now
            rate = (now.done - first) / max(time.monotonic() - start, 1e-9)
            shown = "  ".join(f"{key} {value:.3g}" for key, value in now.metrics.items())
            bar.update(
                task,
                description=now.stage,
                completed=now.done,
                total=now.total,
                rate=f"{rate:,.0f} {now.unit}/s",
                shown=shown,
            )


def drain(loop: Generator[StageProgress, None, Result]) -> Result:
    """Drives a stage to its end in silence and returns what it returns."""
    while True:
        try:
            next(loop)
        except StopIteration as stop:
            return stop.value


def timed(loop: Generator[StageProgress, None, Result], path: Path) -> Generator[StageProgress, None, tuple[Result, float]]:
    """Passes a stage on and counts its wall time in a small file, so that time spent before a kill is not forgotten.

    Returns:
        what the stage returns, and its seconds in all sessions together.
    """
    before = read_json(path)["seconds"] if path.exists() else 0.0
    start = saved = time.monotonic()
    while True:
        try:
            progress = next(loop)
        except StopIteration as stop:
            seconds = before + time.monotonic() - start
            write_json(path, {"seconds": seconds})
            return stop.value, seconds
        if time.monotonic() - saved > 5:
            saved = time.monotonic()
            write_json(path, {"seconds": before + saved - start})
        yield progress
