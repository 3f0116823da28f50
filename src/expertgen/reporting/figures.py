"""Drawing for the page: matplotlib figures as inline SVG whose colours and fonts are the page's own.

A figure is drawn in stand-in colours. Each is then replaced by the CSS variable of the same name, so that one figure
suits the light and the dark page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from expertgen.reporting.words import count

WIDE, NARROW = 3.3, 2.75
"""Widths of figures that stand two and three in a row [inches]: near enough that their letters look alike, both where
they stand in a row and where a narrow screen stacks them."""

METHODS = 8
"""Colours there are for methods of a comparison: `method0`, `method1`, ..."""

_UNITS = ((1, "s"), (60, "min"), (3600, "h"))
"""Units of time [seconds]; a longer one is used from three of it on."""

_NAMES = ("ink", "muted", "grid", "page", "demos", "prior", "expert", "student", "control", "failure")

COLORS = {
    name: f"#0a0b{index:02x}" for index, name in enumerate((*_NAMES, *(f"method{i}" for i in range(METHODS))), start=16)
}
"""Name of a CSS variable of the page → the colour that stands for it while drawing."""

_STYLE: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.edgecolor": COLORS["grid"],
    "axes.labelcolor": COLORS["muted"],
    "axes.titlecolor": COLORS["ink"],
    "axes.titlelocation": "left",
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 9.0,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": COLORS["grid"],
    "grid.linewidth": 0.6,
    "text.color": COLORS["ink"],
    "xtick.color": COLORS["muted"],
    "ytick.color": COLORS["muted"],
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",
}


@contextmanager
def chart(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yields a figure with one pair of axes, in the style of the page; draw inside the block.

    Args:
        width: `WIDE` or `NARROW` [inches].
        height: [inches].
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def x_axis(axes: Axes, end: float, seconds: bool = False, ticks: int = 5) -> None:
    """Makes the horizontal axis begin at 0 and say its numbers shortly.

    Args:
        axes: what is drawn on.
        end: where the data end.
        seconds: whether it is a time, to be told in minutes or hours where it is long; a count otherwise.
        ticks: how many at most.
    """
    unit, name = _UNITS[sum(end >= 3 * size for size, _ in _UNITS[1:])] if seconds else (1, "")
    places = np.asarray(MaxNLocator(ticks, steps=[1, 2, 5, 10]).tick_values(0, end / unit)) * unit
    axes.set_xlim(0, end * 1.03)
    axes.xaxis.set_major_locator(FixedLocator(places[places <= end * 1.03].tolist()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / unit:g} {name}" if seconds else count(x)))


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """Returns a figure as an `<svg>` element that stands on its own in a page.

    Args:
        figure: what to draw.
        name: a prefix that keeps the element's ids apart from those of other figures.
        description: what the figure shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    # The salt makes the ids, and without a date the whole text, the same every time.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    for variable, stand_in in COLORS.items():
        text = text.replace(stand_in, f"var(--{variable})")
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
