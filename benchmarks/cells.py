"""Cells of the tables, and Markdown of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from expertgen.suite.analysis import Estimate


def markdown(header: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, *body)]
    return "\n".join([lines[0], "|" + "---|" * lines[0].count(" | ") + "---|", *lines[1:]])


def mean(group: list[dict[str, str]], column: str) -> float:
    """Mean of a column, rows without a value left out."""
    return float(np.mean([float(row[column]) for row in group if row.get(column)]))


def by(table: Iterable[dict[str, str]], *columns: str) -> dict[tuple[str, ...], list[dict[str, str]]]:
    """Groups rows by columns, in order of appearance."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in table:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups


def rate(rates: list[float | None]) -> str:
    """The mean of rates; nothing where one is not known."""
    known = [one for one in rates if one is not None]
    return f"{np.mean(known):.1%}" if len(known) == len(rates) else ""


def percent(estimate: Estimate) -> str:
    """A success rate with its interval, where it has one."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} ({100 * estimate.low:.1f}–{100 * estimate.high:.1f})"


def interval(estimate: Estimate | None) -> str:
    """A number with its interval, where it has one."""
    if estimate is None or estimate.low is None:
        return "" if estimate is None else f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} ({estimate.low:.2f}–{estimate.high:.2f})"
