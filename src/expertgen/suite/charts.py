"""The charts of a suite's page, each as an inline SVG in the colours of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from expertgen.reporting.figures import COLORS, METHODS, WIDE, chart, inline_svg, x_axis
from expertgen.suite.analysis import Analysis, Axis, Curve
from expertgen.suite.table import Point

_OVER = {"env_steps": "simulator steps", "seconds": "wall time of learning"}


def tone(index: int) -> str:
    """Name of the colour of a method; there are eight, and then they come again, dashed."""
    return f"method{index % METHODS}"


def curves_chart(analysis: Analysis, tasks: Sequence[str], axis: Axis, name: str) -> str | None:
    """Learning curves of all methods: on one task with its validations and final values, or over several tasks.

    A method that does not learn has no curve: a dotted line says where it is.

    Args:
        analysis: of the suite.
        tasks: one, or those to average over.
        axis: what the curves run over.
        name: a prefix for the figure's ids.
    """
    methods = list(analysis.suite.methods)
    curves = {m: c for m in methods if (c := analysis.curve(tasks, m, axis)) is not None}
    if not curves:
        return None
    success = len(tasks) > 1 or analysis.measure(tasks[0]) == "success"
    title = tasks[0] if len(tasks) == 1 else f"Interquartile mean over {len(tasks)} tasks"
    with chart(WIDE, 2.45) as (figure, axes):
        for method, curve in curves.items():
            style = _style(methods.index(method))
            _draw(axes, curve, style)
            if len(tasks) == 1:
                _mark(axes, analysis.points(tasks[0], method, "validation"), axis, 6, {"alpha": 0.5, **style})
                finals = analysis.points(tasks[0], method, "final")
                middle = [float(np.mean([getattr(p, key) for p in finals])) for key in (axis, "value")]
                edge = {"markeredgecolor": COLORS["page"], "markeredgewidth": 0.8, "clip_on": False, "zorder": 5}
                axes.plot(*middle, marker="D", markersize=5.5, color=style["color"], **edge)
        for method in (m for m in analysis.methods if m not in curves):
            if (level := analysis.level(tasks, method)) is not None:
                axes.axhline(level, color=_style(methods.index(method))["color"], linewidth=1.2, linestyle=":")
        axes.set(title=title, xlabel=_OVER[axis])
        finals = [p for task in tasks if len(tasks) == 1 for m in curves for p in analysis.points(task, m, "final")]
        end = max([*(float(curve.x[-1]) for curve in curves.values()), *(float(getattr(p, axis)) for p in finals)])
        x_axis(axes, end, axis == "seconds")
        if success:
            axes.set_ylim(-0.02, 1.04)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        else:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
            axes.yaxis.set_major_locator(MaxNLocator(5))
        return inline_svg(figure, name, f"{title}: learning curves over {_OVER[axis]}")


def profile_chart(analysis: Analysis) -> str:
    """Performance profiles: the share of runs that score above each threshold."""
    thresholds = np.linspace(0, 1, 101)
    with chart(WIDE, 2.45) as (figure, axes):
        for method in analysis.methods:
            style = _style(list(analysis.suite.methods).index(method))
            _draw(axes, analysis.profile(method, thresholds), style, drawstyle="steps-mid")
        axes.set(title="Share of runs that score more than …", xlim=(0, 1), ylim=(-0.02, 1.04))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        return inline_svg(figure, "profile", "Performance profiles: share of runs that score above each threshold")


def _draw(axes: Axes, curve: Curve, style: Mapping[str, Any], **line: Any) -> None:
    axes.fill_between(curve.x, curve.low, curve.high, color=style["color"], alpha=0.16, linewidth=0)
    axes.plot(curve.x, curve.middle, linewidth=1.7, **style, **line)


def _mark(axes: Axes, points: Sequence[Point], axis: Axis, size: float, style: Mapping[str, Any]) -> None:
    where = [(getattr(point, axis), point.value) for point in points]
    if where:
        axes.scatter(*np.array(where, float).T, s=size, color=style["color"], alpha=style["alpha"], linewidths=0)


def _style(index: int) -> dict[str, Any]:
    return {"color": COLORS[tone(index)], "linestyle": "-" if index < METHODS else (0, (4, 2))}
