"""What a run achieved, as a table in the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table

from expertgen.evaluation.evaluate import Evaluation
from expertgen.evaluation.results import CONTROLS, STAGES, Results
from expertgen.reporting.words import TITLES, count, duration, interval, optional, percent


def results_table(results: Results) -> Table:
    """One row a stage, controls below a line; fits a terminal of 80 columns."""
    table = Table(
        title=f"{results.task}, seed {results.seed}",
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("stage", no_wrap=True)
    for name in ("success", "95%\ninterval", "episodes", "steps to\nsuccess", "made in", "env\nsteps"):
        table.add_column(name, justify="right", no_wrap=True)
    for names, style in ((STAGES, "bold"), (CONTROLS, "dim")):
        for name in (n for n in names if n in results.stages):
            table.add_row(*_row(name, results.stages[name]), style=style if name in ("expert", *CONTROLS) else None)
        table.add_section()
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
