"""The table of a suite under way: one row a task and method, one cell a member."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator
from contextlib import closing

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from expertgen.reporting.words import duration, percent
from expertgen.suite.plan import Suite
from expertgen.suite.runner import Standing, Standings
from expertgen.suite.table import Point

_LEAST_PAUSE, _SHARE = 0.5, 0.01
"""Seconds between two pictures of the table, at least; and the share of a core that drawing may take: a table that
fills a terminal takes some 30 ms, which twice a second would cost more than all the rest of a suite."""

_STYLES = {"waiting": "dim", "running": "bold cyan", "done": "green", "failed": "bold red"}


def watch(loop: Generator[Standings, None, Standings], suite: Suite, console: Console, workers: int) -> Standings:
    """Drives a suite to its end and shows where all its members stand.

    Where there is no terminal, each member gets a line when it ends.

    Returns:
        what the loop returns.
    """
    start, due, told = time.monotonic(), 0.0, set[str]()
    with closing(loop), Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            try:
                standings = next(loop)
            except StopIteration as stop:
                if console.is_terminal:
                    table = standings_table(stop.value, suite, time.monotonic() - start, workers)
                    live.update(table, refresh=True)
                return stop.value
            now = time.monotonic()
            if console.is_terminal and now > due:
                rows = max(4, console.height - 8)
                live.update(standings_table(standings, suite, now - start, workers, rows), refresh=True)
                due = time.monotonic() + max(_LEAST_PAUSE, (time.monotonic() - now) / _SHARE)
            if console.is_terminal:
                continue
            ended = {name for name, s in standings.items() if s.state in ("done", "failed") and s.seconds}
            for name in sorted(ended - told):
                console.print(_line(name, standings[name]), soft_wrap=True)
            told |= ended


def standings_table(
    standings: Standings, suite: Suite, seconds: float, workers: int, most_rows: int | None = None
) -> RenderableType:
    """Where all members stand.

    Args:
        standings: as `runner.run_suite` yields them.
        suite: what is compared.
        seconds: since the start of this session.
        workers: members at a time.
        most_rows: leave out rows that wait or are done until so many are left; None shows all.
    """
    counts = Counter(standing.state for standing in standings.values())
    said = "  ".join(f"[{_STYLES[state]}]{counts[state]} {state}[/]" for state in _STYLES if counts[state])
    left = _left(standings, workers)
    title = f"[bold]{suite.name}[/]   {said}   {duration(seconds)}" + (f", about {duration(left)} left" if left else "")
    table = Table(title=title, title_justify="left", header_style="bold", title_style="")
    for name in ("task", "method"):
        table.add_column(name, no_wrap=True)
    for seed in suite.seeds:
        table.add_column(f"seed {seed}", min_width=7)
    cells: dict[tuple[str, str], list[Standing]] = {}
    for standing in standings.values():
        cells.setdefault((standing.member.task, standing.member.method), []).append(standing)
    shown = sorted(cells, key=lambda row: -_interest(cells[row]))[:most_rows]
    before = None
    for task, method in (row for row in cells if row in shown):
        table.add_row(task if task != before else "", method, *map(_cell, cells[task, method]))
        before = task
    hidden = len(cells) - len(shown)
    return Group(table, Text(f"and {hidden} more rows, waiting or done", "dim")) if hidden else table


def value_in_words(point: Point) -> str:
    """A success rate in percent, or a return."""
    return percent(point.value) if point.measure == "success" else f"{point.value:,.0f}"


def _cell(standing: Standing) -> Text:
    style = _STYLES[standing.state]
    if standing.state == "done":
        return Text(f"✓ {value_in_words(standing.final)}", style)
    if standing.state == "running" and standing.progress is not None:
        now = standing.progress
        metric = next((f"  {key} {value:.3g}" for key, value in now.metrics.items()), "")
        return Text(f"{now.stage} {100 * now.done // max(now.total, 1)}%{metric}", style)
    return Text({"waiting": "·", "running": "starting", "failed": "✗ failed"}[standing.state], style)


def _line(name: str, standing: Standing) -> str:
    if standing.state == "done":
        return f"done    {name}: {value_in_words(standing.final)} in {duration(standing.seconds)}"
    return f"failed  {name}: {standing.error}"


def _interest(row: list[Standing]) -> int:
    """Rows that run first, then rows with failures, then those that are done in part, then the others."""
    states = {standing.state for standing in row}
    return 8 * ("running" in states) + 4 * ("failed" in states) + 2 * ({"done", "waiting"} <= states)


def _left(standings: Standings, workers: int) -> float:
    """Seconds left if the other members take as long as those done in this session; 0 while none is done."""
    taken = [s.seconds for s in standings.values() if s.state == "done" and s.seconds]
    open_ones = [s for s in standings.values() if s.state in ("waiting", "running")]
    if not taken:
        return 0.0
    mean = sum(taken) / len(taken)
    return sum(max(mean - s.seconds, 0.0) for s in open_ones) / workers
