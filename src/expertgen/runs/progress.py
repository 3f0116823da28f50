"""Progress of a stage: loops are generators that yield it, and whoever drives them decides about printing."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

from expertgen.runs.files import read_json, write_json

Result = TypeVar("Result")

_WORDS, _SHORTEST_BAR = 100, 8
"""Columns of the terminal that everything but the bar takes, and with how few a bar says anything."""


@dataclass(frozen=True)
class StageProgress:
    """Where a stage stands.

    Attributes:
        stage: name of the stage, e.g. `"steer"`.
        done: units finished.
        total: units to do.
        unit: what is counted, e.g. `"env steps"`.
        metrics: what a person wants to see now, e.g. `{"success": 0.93}`.
        warning: what a person should know before it goes on, or empty.
    """

    stage: str
    done: int
    total: int
    unit: str
    metrics: dict[str, float] = field(default_factory=dict)
    warning: str = ""


def follow(loop: Generator[StageProgress, None, Result], console: Console) -> Result:
    """Drives a loop to its end with a bar for each of its stages: rate, time taken, time left, metrics so far.

    Stages may take turns, as training and validation do. A stage's time is that of its own turns, its rate that of the
    present one. The bar takes the room that is left beside the words, and goes first where there is none.

    Returns:
        what the loop returns.
    """
    bar = min(24, console.width - _WORDS)
    columns = (
        TextColumn("[bold]{task.description}", table_column=Column(min_width=18, no_wrap=True)),
        *([BarColumn(bar_width=bar)] if bar >= _SHORTEST_BAR else []),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[taken]}"),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[shown]}", table_column=Column(no_wrap=False)),
    )
    bars: dict[str, TaskID] = {}
    taken: dict[str, float] = {}
    stage, turn_start, turn_first = "", 0.0, 0
    last = time.monotonic()
    with Progress(*columns, console=console, refresh_per_second=4) as display:
        while True:
            try:
                now = next(loop)
            except StopIteration as stop:
                return stop.value
            if now.stage not in bars:
                bars[now.stage] = display.add_task(now.stage, total=now.total, rate="", taken="", shown="")
            if now.stage != stage:
                stage, turn_start, turn_first = now.stage, last, now.done
            if now.warning:
                display.console.print(f"warning: {now.warning}", markup=False)
            clock = time.monotonic()
            taken[stage] = taken.get(stage, 0.0) + clock - last
            last = clock
            rate = (now.done - turn_first) / max(clock - turn_start, 1e-9)
            display.update(
                bars[stage],
                completed=now.done,
                total=now.total,
                rate=f"{rate:,.{0 if rate >= 10 else 1}f} {now.unit}/s",
                taken=str(timedelta(seconds=int(taken[stage]))).removeprefix("0:"),
                shown="  ".join(f"{key} {value:.3g}" for key, value in now.metrics.items()),
            )


def drain(loop: Generator[StageProgress, None, Result]) -> Result:
    """Drives a stage to its end in silence and returns what it returns."""
    while True:
        try:
            next(loop)
        except StopIteration as stop:
            return stop.value


def timed(
    loop: Generator[StageProgress, None, Result], path: Path
) -> Generator[StageProgress, None, tuple[Result, float]]:
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
