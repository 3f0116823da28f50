"""The charts that only a run of model-based reinforcement learning has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from expertgen.dynamics.weighting.interface import AGES
from expertgen.reporting.charts import Line, Rows, lines_chart, series
from expertgen.reporting.figures import COLORS, WIDE, chart, inline_svg, x_axis
from expertgen.reporting.record import is_number
from expertgen.reporting.words import figure as number

STEPS = "steps in the environment"
"""What the rows' `"step"` counts."""

_MOST_COLUMNS = 60
"""Columns of the picture of weights by age; neighbouring rows of a longer log are averaged."""

_KEYS = ((0.25, "¼ or less"), (0.5, "½"), (1.0, "1"), (2.0, "2"), (4.0, "4 or more"))
"""Weights that the legend explains."""


def return_chart(rows: Rows, x: Literal["step", "seconds"], results: Mapping[str, Any]) -> str | None:
    """Returns of the evaluations while learning, with the deviation of their episodes, over steps or time.

    Args:
        rows: of `metrics.jsonl`.
        x: what it runs over.
        results: of `results.json`; empty where the agent is not finished.
    """
    means, deviations = series(rows, x, "return"), series(rows, x, "return_deviation")
    if not len(means):
        return None
    title = {"step": f"Return over {STEPS}", "seconds": "Return over wall time of learning"}[x]
    end = results[{"step": "env_steps", "seconds": "seconds"}[x]] if results else float(means[-1, 0])
    with chart(WIDE, 2.5) as (figure, axes):
        if len(deviations) == len(means):
            low, high = means[:, 1] - deviations[:, 1], means[:, 1] + deviations[:, 1]
            axes.fill_between(means[:, 0], low, high, color=COLORS["expert"], alpha=0.16, linewidth=0)
        dots = {"marker": "o", "markersize": 3.5 if len(means) < _MOST_COLUMNS else 0}
        axes.plot(*means.T, color=COLORS["expert"], linewidth=1.6, label="evaluations while learning", **dots)
        if results:
            style = {"marker": "D", "markersize": 4.5, "markeredgecolor": COLORS["page"], "capsize": 2.5}
            where = {"elinewidth": 1.2, "color": COLORS["ink"], "linestyle": "", "clip_on": False, "zorder": 5}
            mean, deviation = results["return"], results["return_deviation"]
            axes.errorbar([end], [mean], yerr=[deviation], label="finished agent, held out", **style, **where)
        axes.set(title=title)
        x_axis(axes, max(end, float(means[-1, 0])), x == "seconds")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        legend = {"fontsize": 7, "labelcolor": COLORS["muted"], "columnspacing": 1, "handlelength": 1.6}
        figure.legend(loc="outside lower center", ncols=2, **legend)
        last = f"; the last one is {number(means[-1, 1])}" + (
            f", the final one {number(results['return'])}" if results else ""
        )
        return inline_svg(figure, f"return-{x}", title + last)


def ages_chart(rows: Rows) -> str | None:
    """Mean weight of each tenth of the buffer by age, newest on top, at each refresh of the model."""
    keys = [f"weights_age_{age}" for age in range(1, AGES + 1)]
    columns = [series(rows, "step", key) for key in keys]
    if len(columns[0]) < 2 or any(len(column) != len(columns[0]) for column in columns):
        return None
    steps, weights = columns[0][:, 0], np.stack([column[:, 1] for column in columns], axis=1)
    groups = np.array_split(np.arange(len(steps)), min(len(steps), _MOST_COLUMNS))
    edges = [max(2 * steps[0] - steps[1], 0.0), *(steps[group[-1]] for group in groups)]
    cells, colors = [], []
    for left, right, group in zip(edges, edges[1:], groups, strict=False):
        for age, weight in enumerate(weights[group].mean(axis=0)):
            cells.append(Rectangle((left, age), right - left, 1))
            colors.append(_color(weight))
    with chart(WIDE, 2.5) as (figure, axes):
        # Without antialiasing, or hairlines of the page shine through between the cells.
        axes.add_collection(PatchCollection(cells, facecolors=colors, linewidths=0, antialiaseds=False))
        x_axis(axes, float(steps[-1]))
        axes.set(title="Mean weight by age of the data", xlabel=STEPS, ylim=(AGES, 0))
        axes.set_yticks([0.5, AGES / 2, AGES - 0.5], ["newest\ntenth", "middle", "oldest\ntenth"])
        axes.grid(visible=False)
        keys = [
            Patch(facecolor=_color(weight), edgecolor=COLORS["grid"], linewidth=0.5, label=label)
            for weight, label in _KEYS
        ]
        legend = {"fontsize": 7, "labelcolor": COLORS["muted"], "columnspacing": 1, "handlelength": 1.2}
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), **legend)
        return inline_svg(figure, "weights-age", "Mean weight of each tenth of the buffer by age, over steps")


def value_chart(rows: Rows, discount: float) -> str | None:
    """The critic's value beside what an evaluation's episode is worth with the same discount.

    The rewards of an episode are not logged, so its return is dealt evenly over its steps.

    Args:
        rows: of the log; a row of an evaluation has the discount of its time.
        discount: where it has none.
    """
    worth = []
    for row in rows:
        if is_number(row.get("return")) and (length := row.get("episode_steps")):
            then = row.get("discount", discount)
            worth.append({"step": row["step"], "worth": row["return"] / length * (1 - then**length) / (1 - then)})
    lines = [Line("q", "expert", "the critic's value"), Line("worth", "demos", "worth of an episode")]
    return lines_chart([*rows, *worth], lines, "Value", STEPS)


def _color(weight: float) -> tuple[float, float, float, float]:
    """Blue above 1, orange below it; the stronger, the further away, up to a factor of four."""
    distance = min(abs(float(np.log2(max(weight, 1e-9)))) / 2, 1.0)
    return (*to_rgb(COLORS["expert" if weight >= 1 else "prior"]), max(distance, 0.03))
