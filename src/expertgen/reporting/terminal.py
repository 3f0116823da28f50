"""What a run achieved, as a table in the terminal, and two runs side by side."""

from __future__ import annotations

from rich.table import Table

from expertgen.evaluation.evaluate import Evaluation
from expertgen.evaluation.results import CONTROLS, STAGES, Results
from expertgen.evaluation.statistics import difference_interval
from expertgen.reporting.words import TITLES, count, duration, interval, optional, percent


def results_table(results: Results) -> Table:
    """One row a stage, controls below a line."""
    table = Table(title=f"{results.task}, seed {results.seed}", title_justify="left", header_style="bold")
    table.add_column("stage")
    for name in ("success", "95% interval", "episodes", "steps to success", "made in", "simulator steps"):
        table.add_column(name, justify="right")
    for names, style in ((STAGES, "bold"), (CONTROLS, "dim")):
        for name in (n for n in names if n in results.stages):
            table.add_row(*_row(name, results.stages[name]), style=style if name in ("expert", *CONTROLS) else None)
        table.add_section()
    return table


def comparison_table(first: Results, second: Results, labels: tuple[str, str] = ("first", "second")) -> Table:
    """Stages that both runs have, with the difference second - first and its 95% interval.

    A difference whose interval holds 0 is shown dim: these episodes do not tell the two apart.
    """
    table = Table(title=f"{labels[1]} against {labels[0]}", title_justify="left", header_style="bold")
    table.add_column("stage")
    for name in (*labels, "difference", "95% interval"):
        table.add_column(name, justify="right")
    for name in (n for n in (*STAGES, *CONTROLS) if n in first.stages and n in second.stages):
        a, b = first.stages[name], second.stages[name]
        low, high = difference_interval(_successes(b), b.episodes, _successes(a), a.episodes)
        cells = (
            TITLES[name],
            percent(a.success),
            percent(b.success),
            f"{100 * (b.success - a.success):+.1f}",
            f"{100 * low:+.1f} to {100 * high:+.1f} points",
        )
        table.add_row(*cells, style="dim" if low <= 0 <= high else None)
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


def _successes(evaluation: Evaluation) -> int:
    return round(evaluation.success * evaluation.episodes)
