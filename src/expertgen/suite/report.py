"""The page of a suite: one HTML file with everything inside, in the look of a run's report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from expertgen.reporting import words
from expertgen.reporting.page import load_template
from expertgen.runs.files import read_json, write_text
from expertgen.suite.analysis import Analysis, Estimate, TaskRow
from expertgen.suite.display import value_in_words
from expertgen.suite.plan import Suite
from expertgen.suite.runner import Standings, member_folder, read_standings, read_suite
from expertgen.suite.table import Motion, Point

_SURE = 0.05
"""Largest p-value at which two methods count as different."""

_FEW_RUNS = 4
"""With fewer runs of a method than this, a profile shows nothing that the table does not."""

_MOTION: dict[Motion, tuple[str, Callable[[float], str]]] = {
    "jerk": ("jerk of actions", "{:.2f}".format),
    "jerk_ratio": ("jerk, to the prior's", "{:.2f}".format),
    "dtw": ("distance to demonstrations", "{:.3f}".format),
    "saturation": ("saturated actions", words.percent),
    "noise_norm": ("noise norm", "{:.2f}".format),
}
"""Measures of motion: what the page calls them, and how it says their values."""


def write_suite_report(folder: Path) -> Path:
    """Writes `report.html` into the folder of a suite, of the members that are done.

    Args:
        folder: the suite's folder.

    Returns:
        the path of the report.

    Raises:
        UsageError: if the extra `report` is not installed.
        FileError: if the folder is not a suite's, or a result was changed.
    """
    template, suite = load_template("page.html.j2", "expertgen.suite", "page.css"), read_suite(folder)
    standings = read_standings(folder, suite)
    path = folder / "report.html"
    write_text(path, template.render(**_content(folder, suite, standings)))
    return path


def _content(folder: Path, suite: Suite, standings: Standings) -> dict[str, Any]:
    """Everything that the template shows; figures as SVG text."""
    from expertgen.suite.charts import tone

    analysis = Analysis(suite, standings)
    done = [s for s in standings.values() if s.state == "done"]
    failed = [s for s in standings.values() if s.state == "failed"]
    methods = analysis.methods
    overall = {m: analysis.overall(m) for m in methods} if analysis.pooled else {}
    order = sorted(methods, key=lambda m: -overall[m].value) if overall else methods
    logs = {str(s.member): (member_folder(folder, s.member) / "log.txt").relative_to(folder) for s in failed}
    return {
        "suite": suite,
        "about": read_json(folder / "suite.json"),
        "file": yaml.safe_dump(suite.to_json(), sort_keys=False, default_flow_style=None),
        "tones": {method: tone(index) for index, method in enumerate(suite.methods)},
        "headline": _headline(analysis, order, overall, len(done)),
        "done": len(done),
        "members": len(standings),
        "origins": Counter(s.origin for s in done),
        "order": order,
        "overall": overall,
        "averages": {m: analysis.average(m) for m in methods} if analysis.pooled else {},
        "areas": {m: analysis.overall_area(m) for m in methods} if analysis.pooled else {},
        "matrix": {a: {b: analysis.improvement(a, b) for b in order if b != a} for a in order}
        if analysis.shared and len(methods) > 1
        else {},
        "surely": lambda ours, theirs: analysis.p_value(ours, theirs) < _SURE,
        "alone": analysis.alone,
        "absent": [method for method in suite.methods if method not in methods],
        "left_out": [task for task in suite.tasks if task not in analysis.pooled],
        "tasks": _tasks(analysis),
        "shared": analysis.shared,
        "motion": _motion(analysis, order),
        "figures": _figures(analysis),
        "failed": {name: (s.error, logs[name]) for name, s in ((str(s.member), s) for s in failed)},
        "words": value_in_words,
        "range": _range,
        "number": _number,
    }


def _figures(analysis: Analysis) -> dict[str, list[str]]:
    """Section → its figures that have something to show."""
    from expertgen.suite import charts

    pooled, tasks = analysis.pooled, analysis.suite.tasks
    axes = ("env_steps", "seconds")
    together = [charts.curves_chart(analysis, pooled, a, f"all-{a}") for a in axes] if len(pooled) > 1 else []
    single = [charts.curves_chart(analysis, [t], a, f"task{i}-{a}") for i, t in enumerate(tasks) for a in axes]
    runs = len(pooled) * len(analysis.suite.seeds)
    profile = [charts.profile_chart(analysis)] if len(pooled) > 1 and runs >= _FEW_RUNS else []
    drawn = {"together": together, "single": single, "profile": profile}
    return {section: [svg for svg in svgs if svg] for section, svgs in drawn.items()}


def _tasks(analysis: Analysis) -> dict[str, list[dict[str, Any]]]:
    """Task → a row for each method: what the table says, and where its strip has its marks [percent]."""
    shown: dict[str, list[dict[str, Any]]] = {}
    rows = analysis.rows()
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        best = max(row.estimate.value for row in own)
        ends = (0.0, 1.0) if own[0].measure == "success" else _ends(own)
        shown[task] = [
            {
                "row": row,
                "best": row.estimate.value == best and len(own) > 1,
                "marks": [_place(value, ends) for value in row.values],
                "middle": _place(row.estimate.value, ends),
                "span": _span(row.estimate, ends),
            }
            for row in own
        ]
    return shown


def _motion(analysis: Analysis, order: list[str]) -> dict[str, dict[str, tuple[str, str] | None]]:
    """What the page calls a measure of motion → method → its mean and interval; measures nobody has are left out."""
    shown = {}
    for measure, (title, say) in _MOTION.items():
        estimates = {method: analysis.motion(method, measure) for method in order}
        if any(estimates.values()):
            shown[title] = {method: e and (say(e.value), _between(e, say)) for method, e in estimates.items()}
    return shown


def _between(estimate: Estimate, say: Callable[[float], str]) -> str:
    if estimate.low is None or estimate.high is None:
        return "one seed"
    return f"{say(estimate.low)}–{say(estimate.high)}"


def _ends(rows: list[TaskRow]) -> tuple[float, float]:
    """Ends of a scale on which all returns of a task have their place."""
    values = [value for row in rows for value in row.values]
    low, high = min(0.0, *values), max(0.0, *values)
    return (low, high) if high > low else (low, low + 1)


def _place(value: float, ends: tuple[float, float]) -> float:
    return 100 * min(max((value - ends[0]) / (ends[1] - ends[0]), 0.0), 1.0)


def _span(estimate: Estimate, ends: tuple[float, float]) -> tuple[float, float] | None:
    """Left end and width of the interval."""
    if estimate.low is None or estimate.high is None:
        return None
    left = _place(estimate.low, ends)
    return left, _place(estimate.high, ends) - left


def _headline(analysis: Analysis, order: list[str], overall: dict[str, Estimate], done: int) -> str:
    if not done:
        return "No run of this suite has finished yet."
    if not overall:
        return "There is no task yet that every method has finished and whose values have a common scale."
    first = order[0]
    finals = [analysis.points(task, first, "final", paired=True) for task in analysis.pooled]
    tasks, runs = len(finals), sum(map(len, finals))
    where = f"On {analysis.pooled[0]}" if tasks == 1 else f"Over {tasks} tasks"
    text = f"{where}, {first} scores {words.percent(overall[first].value)} (interquartile mean of {runs} runs"
    text += f", 95% interval {_range(overall[first])})" if overall[first].low is not None else ")"
    if len(order) == 1:
        return f"{text}."
    second = order[1]
    chance = analysis.improvement(first, second)
    text += f", {second} {words.percent(overall[second].value)}. A run of {first} beats one of {second} with "
    text += f"probability {chance.value:.2f}"
    if chance.low is None or chance.high is None:
        return f"{text}; with one seed there is no telling how sure that is."
    verdict = ": more often it loses" if chance.value < 0.5 else ""
    if analysis.p_value(first, second) >= _SURE:
        verdict = ": these runs do not tell the two apart"
    return f"{text} ({chance.low:.2f}–{chance.high:.2f}){verdict}."


def _range(estimate: Estimate) -> str:
    """An interval of scores, in percent."""
    if estimate.low is None or estimate.high is None:
        return "one seed"
    return f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}%"


def _number(value: float, measure: str) -> str:
    """A success rate in percent, or a return."""
    return value_in_words(Point("final", 0, 0.0, "success" if measure == "success" else "return", value, None))
