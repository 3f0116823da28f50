"""What a run achieved, and what it bears, as tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from expertgen.evaluation.evaluate import Evaluation
from expertgen.evaluation.results import CONTROLS, STAGES, Results
from expertgen.evaluation.robustness import Robustness, Share
from expertgen.reporting.words import (
    PERTURBATIONS,
    TITLES,
    count,
    duration,
    interval,
    optional,
    percent,
    strength_in_words,
)


def results_table(results: Results) -> Table:
    """One row a stage, controls below a line; fits a terminal of 80 columns."""
    numbers = ("success", "95%\ninterval", "episodes", "steps to\nsuccess", "made in", "env\nsteps")
    table = _table(f"{results.task}, seed {results.seed}", ("stage",), numbers)
    for names, style in ((STAGES, "bold"), (CONTROLS, "dim")):
        for name in (n for n in names if n in results.stages):
            table.add_row(*_row(name, results.stages[name]), style=style if name in ("expert", *CONTROLS) else None)
        table.add_section()
    return table


def robustness_table(robustness: Robustness) -> Table:
    """A group of rows for each policy, one a perturbation and strength; fits a terminal of 80 columns."""
    title = f"{robustness.task}, {robustness.episodes} episodes each"
    numbers = ("strength", "success", "95%\ninterval", "recovers", "95%\ninterval")
    table = _table(title, ("policy under\nperturbation",), numbers)
    for policy in robustness.policies():
        table.add_row(TITLES[policy], style="bold")
        for perturbation, strength in robustness.disturbances():
            if trial := robustness.find(policy, perturbation, strength):
                name, how = PERTURBATIONS[perturbation], strength_in_words(perturbation, strength)
                table.add_row(f"  {name}", how, *_told(trial.success), *_told(robustness.recovery(trial)))
        table.add_section()
    return table


def _told(share: Share | None) -> tuple[str, str]:
    return (percent(share.value), interval(share)) if share else ("–", "–")


def _table(title: str, names: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for name in names:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _row(name: str, evaluation: Evaluation) -> tuple[str, ...]:
    return (
        TITLES[name],
        percent(evaluation.success),
        interval(evaluation),
        str(evaluation.episodes),
        optional(evaluation.steps_to_success, 0),
        duration(evaluation.seconds),
        count(evaluation.env_steps),
    )
