"""The charts of the report, each from what a run wrote to an inline SVG, or to None where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, MultipleLocator, NullLocator, PercentFormatter

from expertgen.evaluation.evaluate import Evaluation
from expertgen.evaluation.perturbations import KINDS
from expertgen.evaluation.results import STAGES
from expertgen.evaluation.robustness import UNDISTURBED, Robustness
from expertgen.reporting.figures import COLORS, NARROW, WIDE, chart, inline_svg, x_axis
from expertgen.reporting.noise import NoisePicture
from expertgen.reporting.record import is_number
from expertgen.reporting.words import PERTURBATIONS, TITLES, percent
from expertgen.rl.learner import Mode

Rows = Sequence[Mapping[str, Any]]

_MOST_POINTS = 700
"""Points drawn of the noise picture; more only make the page heavier."""

_CLOSE, _BESIDE = 0.08, 62
"""Two lines nearer than this have their words beside each other: how far [success; points]."""

_DODGE = 0.09
"""How far points of two policies stand apart, in places of a strength."""

_SHARES = {"mixed_success", "alpha", "weights_effective_sample_size", "weights_zeros"}
"""Metrics that are shares, shown in percent from 0 to 1."""

_FEW = 20
"""With fewer points than this, each is marked."""


def series(rows: Rows, x: str, y: str) -> np.ndarray:
    """Points `[n, 2]` of the rows that hold a finite number under both keys."""
    points = [(row[x], row[y]) for row in rows if is_number(row.get(x)) and is_number(row.get(y))]
    return np.array(points, float).reshape(-1, 2)


def learning_curve(rows: Rows, x: str, stages: Mapping[str, Evaluation]) -> str | None:
    """Success while steering, over simulator steps (`x="step"`) or wall time (`x="seconds"`)."""
    # Before the first update the prior itself is at work, and the success of a handful of episodes means nothing.
    training = series([row for row in rows if row.get("updates", 1)], x, "success")
    validated = {mode: series(rows, x, f"validated_{mode}") for mode in get_args(Mode)}
    if not len(training) and not any(map(len, validated.values())):
        return None
    over = {"step": "simulator steps", "seconds": "wall time of training"}[x]
    with chart(WIDE, 2.5) as (figure, axes):
        axes.plot(*training.T, color=COLORS["expert"], alpha=0.4, linewidth=1.0, label="training episodes")
        lines, faces = ("-", (0, (3, 2)), (0, (1, 1))), ("expert", "page", "page")
        for (mode, points), line, face in zip(validated.items(), lines, faces, strict=True):
            if len(points):
                dots = {"marker": "o", "markersize": 4, "markerfacecolor": COLORS[face], "markeredgewidth": 1.2}
                style = {"color": COLORS["expert"], "linewidth": 1.8, "linestyle": line}
                axes.plot(*points.T, label=f"validation ({mode})", **style, **dots)
        end = float(np.max(np.concatenate([training, *validated.values()])[:, 0]))
        references = sorted((stages[name].success, name) for name in ("demos", "prior") if name in stages)
        for index, (success, name) in enumerate(references):
            # The words stand clear of the test's whisker, and beside each other where the lines are close.
            close = index and success - references[0][0] < _CLOSE
            label = f"{TITLES[name].lower()} {percent(success)}"
            _mark(axes, end, success, label, name, left=_BESIDE if close else 8)
        if "expert" in stages:
            _final(axes, end, stages["expert"])
        axes.set(ylim=(-0.02, 1.04), title=f"Success over {over}")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        x_axis(axes, end, x == "seconds")
        style = {"fontsize": 7, "labelcolor": COLORS["muted"], "columnspacing": 1, "handlelength": 1.6}
        figure.legend(loc="outside lower center", ncols=2, **style)
        return inline_svg(figure, f"learning-{x}", f"Success of the expert while it is trained, over {over}")


def noise_chart(noise: NoisePicture) -> str:
    """The noise that the expert chose, coloured by outcome, on rings of N(0, I)."""
    keep = np.linspace(0, len(noise.steered) - 1, min(_MOST_POINTS, len(noise.steered))).round().astype(int)
    points, success = noise.steered[keep], noise.success[keep]
    low, high = np.minimum(points.min(axis=0) - 0.2, -3.3), np.maximum(points.max(axis=0) + 0.2, 3.3)
    width, height = high - low
    with chart(WIDE, float(np.clip(WIDE * height / width, 2.4, WIDE))) as (figure, axes):
        for outcome, color, marker, label in ((True, "expert", "o", "success"), (False, "failure", "X", "failure")):
            style = {"s": 9 if outcome else 18, "linewidths": 0, "alpha": 0.55 if outcome else 0.9}
            axes.scatter(*points[success == outcome].T, color=COLORS[color], marker=marker, label=label, **style)
        for ring in (1, 2, 3):
            line = {"color": COLORS["muted"], "linewidth": 0.9, "linestyle": (0, (2, 2))}
            axes.add_patch(Circle((0, 0), ring, fill=False, **line))
            box = {"facecolor": COLORS["page"], "edgecolor": "none", "pad": 0.8}
            axes.text(0, -ring, f"{ring}σ", color=COLORS["muted"], fontsize=6.5, ha="center", va="center", bbox=box)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        axes.set_xlabel(f"first direction, {percent(float(noise.share[0]))}")
        axes.set_ylabel(f"second direction, {percent(float(noise.share[1]))}")
        axes.grid(visible=False)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, integer=True))
        figure.legend(loc="outside upper left", ncols=2, fontsize=7.5, labelcolor=COLORS["muted"], handletextpad=0.1)
        return inline_svg(figure, "noise", "Noise chosen by the expert, projected on two directions, against N(0, I)")


def robustness_charts(robustness: Robustness) -> list[str]:
    """Success under each perturbation, by its strength; intervals for stages, plain points for controls."""
    strengths: dict[str, list[float]] = {}
    for perturbation, strength in robustness.disturbances():
        if perturbation != UNDISTURBED:
            strengths.setdefault(perturbation, []).append(strength)
    return [_robustness_chart(robustness, *tried) for tried in strengths.items()]


def _robustness_chart(robustness: Robustness, perturbation: str, strengths: Sequence[float]) -> str:
    places = [(UNDISTURBED, 0.0), *((perturbation, strength) for strength in strengths)]
    policies = robustness.policies()
    with chart(NARROW, 1.95) as (figure, axes):
        for index, policy in enumerate(policies):
            beside = _DODGE * (index - (len(policies) - 1) / 2)
            shares = {x + beside: t.success for x, place in enumerate(places) if (t := robustness.find(policy, *place))}
            x, value = list(shares), [share.value for share in shares.values()]
            if policy in STAGES:
                error = np.array([(s.value - s.low, s.high - s.value) for s in shares.values()]).T
                style = {"color": COLORS[policy], "fmt": "o-", "markersize": 4, "linewidth": 1.0, "capsize": 2}
                axes.errorbar(x, value, yerr=error, **style)
            else:
                axes.plot(x, value, "o", color=COLORS["control"], markersize=3)
        unit = KINDS[perturbation].unit
        axes.set(title=PERTURBATIONS[perturbation], xlim=(-0.5, len(places) - 0.5), ylim=(-0.02, 1.04))
        axes.set_xticks(range(len(places)), ["none", *(f"{strength:g}" for strength in strengths)])
        axes.set_xlabel({"steps": "control steps", "": "action units"}.get(unit, unit))
        axes.yaxis.set_major_locator(MultipleLocator(0.25))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        title = f"Success under {PERTURBATIONS[perturbation].lower()}, by its strength"
        return inline_svg(figure, f"robustness-{perturbation}".replace("_", "-"), title)


@dataclass(frozen=True)
class Line:
    """A metric as a line of a chart.

    Attributes:
        key: which metric.
        color: name of its colour.
        label: what the legend calls it, where there are several.
    """

    key: str
    color: str
    label: str = ""


def metric_chart(rows: Rows, key: str, title: str, color: str, over: str, **options: Any) -> str | None:
    """One metric over training steps; see `lines_chart`."""
    return lines_chart(rows, [Line(key, color)], title, over, **options)


def lines_chart(
    rows: Rows,
    lines: Sequence[Line],
    title: str,
    over: str,
    *,
    width: float = NARROW,
    log: bool = False,
    reference: tuple[float, str] | None = None,
) -> str | None:
    """Metrics over training steps: every row faint, a running median on top.

    Args:
        rows: of a `metrics.jsonl`.
        lines: which metrics; one with fewer than two rows is left out.
        title: what to call them.
        over: what the rows' `"step"` counts.
        width: `WIDE` or `NARROW` [inches].
        log: whether the vertical axis is logarithmic where values differ more than tenfold.
        reference: a value to mark, and what it is.
    """
    drawn = {line: points for line in lines if len(points := series(rows, "step", line.key)) > 1}
    if not drawn:
        return None
    with chart(width, 1.85 if width == NARROW else 2.5) as (figure, axes):
        for line, points in drawn.items():
            dots = {"marker": "o", "markersize": 3.5} if len(points) < _FEW else {}
            color = COLORS[line.color]
            axes.plot(*points.T, color=color, alpha=0.3, linewidth=0.9)
            axes.plot(points[:, 0], running_median(points[:, 1]), color=color, linewidth=1.6, label=line.label, **dots)
        axes.set(title=title, xlabel=over)
        end = max(float(points[-1, 0]) for points in drawn.values())
        x_axis(axes, end, ticks=4)
        if reference is not None:
            ends = np.concatenate([points[-len(points) // 4 :, 1] for points in drawn.values()])
            axes.margins(y=0.14)
            _mark(axes, end, *reference, "muted", left=2, below=bool(np.median(ends) > reference[0]))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if log:
            _logarithmic(axes, np.concatenate([points[:, 1] for points in drawn.values()]))
        if {line.key for line in drawn} <= _SHARES:
            axes.set_ylim(-0.02, 1.04)
            axes.yaxis.set_major_locator(MultipleLocator(0.25))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        if len(lines) > 1:
            figure.legend(loc="outside lower center", ncols=2, fontsize=7, labelcolor=COLORS["muted"], handlelength=1.6)
        name = f"{lines[0].color}-{lines[0].key}".replace("_", "-")
        return inline_svg(figure, name, f"{title} over {over}")


def _mark(axes: Axes, end: float, value: float, label: str, color: str, left: float, below: bool = False) -> None:
    """A dotted line at a value, with its name above or below its right end, `left` points from it."""
    axes.axhline(value, color=COLORS[color], linewidth=1.2, linestyle=(0, (1, 1.5)))
    place = {"textcoords": "offset points", "ha": "right", "fontsize": 7}
    place |= {"xytext": (-left, -2.5), "va": "top"} if below else {"xytext": (-left, 2.5), "va": "bottom"}
    box = {"facecolor": COLORS["page"], "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
    axes.annotate(label, (end, value), color=COLORS[color], bbox=box, **place)


def _logarithmic(axes: Axes, values: np.ndarray) -> None:
    positive = values[values > 0]
    if not len(positive) or positive.max() < 10 * positive.min():
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _final(axes: Axes, end: float, expert: Evaluation) -> None:
    error = [[expert.success - expert.low], [expert.high - expert.success]]
    style = {"marker": "D", "markersize": 4.5, "markeredgecolor": COLORS["page"], "capsize": 2.5, "elinewidth": 1.2}
    axes.errorbar(
        [end], [expert.success], yerr=error, color=COLORS["ink"], linestyle="", label="held-out test", **style
    )


def running_median(values: np.ndarray) -> np.ndarray:
    """The median of each value and its neighbours, a twenty-fifth of all."""
    width = max(1, len(values) // 25)
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
