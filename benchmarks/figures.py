"""The figures of the documentation, from the committed CSV files.

    python benchmarks/figures.py

Each says of which numbers it was drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import matplotlib
from leaderboards import AXES, complete_runs
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from rows import HERE, read_rows
from tables import AFTER_RL, BEFORE_RL

from expertgen.suite.analysis import Analysis, Axis
from expertgen.suite.plan import Suite
from expertgen.suite.runner import Standings

IMAGES = HERE.parent / "docs" / "images"
STYLE = {
    **{
        "font.size": 9.0,
        "font.family": "sans-serif",
        "axes.grid": True,
        "axes.axisbelow": True,
        "legend.frameon": False,
    },
    **{"grid.color": "#e3e1da", "grid.linewidth": 0.6, "axes.edgecolor": "#a9a69e", "axes.labelcolor": "#1b1c1f"},
    **{"axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "expertgen"},
}
COLORS = {"steer": "#0068a8", "rlpd": "#a3308f", "residual": "#00805c", "prior": "#c26a00"}
NUMBERS = {10: "#c8384e", 50: "#c26a00", 128: "#77777b", 200: "#00805c", 500: "#0068a8"}
"""Number of demonstrations → colour."""
MARKERS = {"default": "o", "calibration": "s", "smooth-noise": "^", "gripper": "D"}
"""Kind of imperfection → marker."""


def learning_curves(suite: Suite, standings: Standings) -> Figure:
    """Success of training episodes over simulator steps and over seconds: interquartile means over all runs of a suite.

    Bands are 95% intervals of a bootstrap over runs within tasks.
    """
    analysis = Analysis(suite, standings)
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    for axes, (axis, words) in zip(figure.subplots(1, 2, sharey=True), AXES.items(), strict=True):
        for method, color in COLORS.items():
            _draw_curve(axes, analysis, method, axis, color)
        axes.set(xlabel=words, xlim=(0, None), ylim=(-0.02, 1.02))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.axes[0].set_ylabel("success")
    figure.axes[0].xaxis.set_major_formatter(FuncFormatter(lambda steps, _: f"{steps / 1000:.0f} k"))
    figure.axes[1].legend(loc="center right")
    return figure


def _draw_curve(axes: Axes, analysis: Analysis, method: str, axis: Axis, color: str) -> None:
    curve = analysis.curve(analysis.shared, method, axis)
    if curve is None:
        axes.axhline(analysis.level(analysis.shared, method), color=color, linestyle=":", label=method)
        return
    axes.plot(curve.x, curve.middle, color=color, label=method)
    axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.15, linewidth=0)


def steerability(rows: list[dict[str, str]]) -> Figure:
    """What steering made of priors, over what was measured of them before."""
    figure = Figure(figsize=(9.0, 5.6), layout="constrained")
    grid = figure.subplots(2, 2, sharex="col", sharey="row")
    for line, (after, outcome) in zip(grid, AFTER_RL.items(), strict=True):
        for axes, before in zip(line, ("prior", "coverage"), strict=True):
            for row in rows:
                number, kind = int(row["demonstrations"]), row["kind"]
                style = {"color": NUMBERS[number], "marker": MARKERS[kind], "alpha": 0.8, "linewidths": 0}
                axes.scatter(float(row[before]), float(row[after]), s=34, **style)
            axes.set(ylim=(-0.03, 1.03), xlim=(-0.03, None))
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        line[0].set_ylabel(outcome)
    for axes, before in zip(grid[-1], ("prior", "coverage"), strict=True):
        axes.set_xlabel(BEFORE_RL[before])
    numbers = [axes.scatter([], [], color=c, label=f"{n} demonstrations") for n, c in NUMBERS.items()]
    kinds = [axes.scatter([], [], color="#77777b", marker=m, label=kind) for kind, m in MARKERS.items()]
    figure.legend(handles=[*numbers, *kinds], loc="outside lower center", ncols=5, fontsize=8)
    return figure


def figures() -> Iterator[tuple[str, str, Figure]]:
    """Name, digest of the numbers that it shows, and figure."""
    runs = complete_runs("comparisons.csv", "assembly", tuple(COLORS))
    yield "assembly.svg", digest(runs[1]), learning_curves(*runs)
    rows = [row for row in read_rows(HERE / "steerability.csv") if row["chunk_length"] == "4"]
    yield "steerability.svg", digest(rows), steerability(rows)


def digest(numbers: object) -> str:
    """Of what a figure shows."""
    return hashlib.sha256(repr(numbers).encode()).hexdigest()[:16]


if __name__ == "__main__":
    with matplotlib.rc_context(STYLE):
        for name, shown, figure in figures():
            figure.savefig(IMAGES / name, metadata={"Date": None, "Source": shown})
