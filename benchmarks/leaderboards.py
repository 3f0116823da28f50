"""Tables of what suites have measured, from the committed CSV files.

python benchmarks/leaderboards.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from cells import by, interval, markdown, percent, rate
from rows import HERE, read_rows

from expertgen.evaluation.comparison import mean_of_tasks_interval, stratified_bootstrap
from expertgen.evaluation.statistics import wilson_interval
from expertgen.suite.analysis import Analysis, Axis, Estimate
from expertgen.suite.plan import Member, Suite, find_suite, narrowed
from expertgen.suite.runner import Standing, Standings
from expertgen.suite.table import Motion, Origin, Point

MOTION: dict[Motion, str] = {"jerk_ratio": "jerk, of the prior's", "saturation": "actions at their bound"}
"""What is said of how policies move."""

AXES: dict[Axis, str] = {"env_steps": "env steps", "seconds": "seconds"}
"""What methods may spend alike."""


def returns(file: str, suite_name: str) -> str:
    """A suite of weightings: final returns, and the areas under the curves of returns beside uniform weights.

    A cell of a task is the mean final return and, in brackets, by how much the area under the curve, which is a mean
    return as well, is above that of `uniform`, with the 95% interval of a bootstrap over seeds. Then follow
    interquartile means of scaled final returns and areas, with theirs, and the chance to beat a run of `uniform`.

    Args:
        file: the results.csv of the suite, or those of several machines joined.
        suite_name: the suite.
    """
    suite, standings = complete_runs(file, suite_name)
    analysis, body = Analysis(suite, standings), []
    for method in analysis.methods:
        cells = []
        for task in analysis.shared:
            final = np.mean([point.value for point in analysis.points(task, method, "final")])
            own, plain = analysis.areas(task, method), analysis.areas(task, "uniform")
            low, high = suite.scale[task]
            ends = (high - low) * np.array(stratified_bootstrap(_difference, [own], [plain]))
            shown = (f"{end:+.0f}" if abs(end) >= 100 else f"{end:+.2g}" for end in ends)
            beside = " to ".join(dict.fromkeys(shown))  # one number where there is one seed
            cells.append(f"{final:.4g}" + (f" ({beside})" if method != "uniform" else ""))
        overall, area = (interval(e) for e in (analysis.overall(method), analysis.overall_area(method)))
        better = "" if method == "uniform" else interval(analysis.improvement(method, "uniform"))
        body.append((method, *cells, overall, area, better))
    header = ("weighting", *analysis.shared, "all, final", "all, area", "beats uniform")
    return markdown(header, body)


def leaderboard(suite_name: str, *methods: str, file: str = "comparisons.csv") -> str:
    """A suite of experts: success on each task, mean over seeds with its 95% interval, over tasks, and what it took.

    Before them stands what the scripted expert achieves where nothing is wrong with it, if there is one: what steering
    does not know.

    Args:
        suite_name: the suite.
        methods: which of its methods, all by default; the last one is what the others are compared with.
        file: the table.
    """
    suite, standings = complete_runs(file, suite_name, methods)
    analysis = Analysis(suite, standings)
    clean = {row["task"]: float(row["clean"]) for row in read_rows(HERE / "clean.csv")}
    found = {(row.task, row.method): row for row in analysis.rows()}
    names, best = analysis.methods, analysis.methods[-1]
    groups = [[found[task, method] for task in analysis.shared] for method in names]
    others = names[:-1]
    ahead = {name: analysis.improvement(best, name) for name in others}
    leads: dict[Axis, list[Estimate | None]]
    leads = {axis: [_lead(standings, best, name, axis) for name in others] for axis in AXES}
    on_the_way = {axis: [_area_lead(analysis, best, name, axis) for name in others] for axis in AXES}
    for number, name in enumerate(others):
        if not _on_one_machine(standings, best, name):
            leads["seconds"][number] = on_the_way["seconds"][number] = None
    motion = [(words, [analysis.motion(method, measure) for method in names]) for measure, words in MOTION.items()]
    tasks = [(task, [found[task, method].estimate for method in names]) for task in analysis.shared]
    body = [(task, rate([clean.get(task)]), *map(percent, estimates)) for task, estimates in tasks]
    if len(tasks) > 1:
        averages = (percent(analysis.average(method)) for method in names)
        body += [
            ("**mean**", rate([clean.get(task) for task, _ in tasks]), *averages),
            ("**interquartile mean**", "", *(percent(analysis.overall(method)) for method in names)),
        ]
    body += [
        (f"{best} is ahead in", "", *(percent(ahead[name]) for name in others), ""),
        *(
            (f"{best} is ahead by, after its own {words}", "", *map(_points_ahead, leads[axis]), "")
            for axis, words in AXES.items()
        ),
        *(
            (f"{best} is ahead by, on the way, over {words}", "", *map(_points_ahead, on_the_way[axis]), "")
            for axis, words in AXES.items()
        ),
        *((words, "", *(f"{one.value:.2g}" if one else "" for one in estimates)) for words, estimates in motion),
        ("env steps", "", *(f"{np.mean([row.env_steps for row in rows]) / 1000:.0f} k" for rows in groups)),
        ("seconds", "", *(f"{np.mean([row.seconds for row in rows]):.0f}" for rows in groups)),
    ]
    header = ("task", "flawless demonstrator", *names)
    if not clean.keys() & set(analysis.shared):
        header, body = _without_second(header), [_without_second(row) for row in body]
    return markdown(header, (row for row in body if any(row[1:])))


def method_by_method(suite_name: str, *methods: str) -> str:
    """A suite of many methods, one on a line: success on each task and over tasks, how it moves, and what it took.

    Seconds of a method that ran on another processor than the last one are left out.

    Args:
        suite_name: the suite.
        methods: which of its methods, all by default; the last one is what the others are compared with.
    """
    suite, standings = complete_runs("comparisons.csv", suite_name, methods)
    analysis = Analysis(suite, standings)
    found = {(row.task, row.method): row for row in analysis.rows()}
    tasks, best, body = analysis.shared, analysis.methods[-1], []
    for name in analysis.methods:
        rows, jerk = [found[task, name] for task in tasks], analysis.motion(name, "jerk_ratio")
        rates = [f"{row.estimate.value:.1%}" for row in rows] if len(tasks) > 1 else []
        lead = "" if name == best else _points_ahead(_lead(standings, best, name, "env_steps"))
        steps, seconds = (np.mean([getattr(row, axis) for row in rows]) for axis in AXES)
        comparable = name == best or _on_one_machine(standings, best, name)
        moves = f"{jerk.value:.2g}" if jerk else ""
        spent = f"{steps / 1000:.0f} k", f"{seconds:.0f}" if comparable else ""
        body.append((name, *rates, percent(analysis.average(name)), lead, moves, *spent))
    over_tasks = (*tasks, "mean") if len(tasks) > 1 else tasks
    ahead = f"{best} is ahead by, after its own env steps"
    return markdown(("method", *over_tasks, ahead, "jerk", "env steps", "seconds"), body)


def summary(suite_name: str, *methods: str) -> str:
    """A suite of experts in brief: success on each task, mean over seeds, and what the last method took.

    Args:
        suite_name: the suite.
        methods: which of its methods.
    """
    analysis = Analysis(*complete_runs("comparisons.csv", suite_name, methods))
    found = {(row.task, row.method): row for row in analysis.rows()}
    best = analysis.methods[-1]
    body = []
    for task in analysis.shared:
        rates = [f"{found[task, name].estimate.value:.1%}" for name in analysis.methods]
        body.append((task, *rates[:-1], f"**{rates[-1]}**", f"{found[task, best].seconds:.0f}"))
    means = [f"{analysis.average(name).value:.1%}" for name in analysis.methods]
    seconds = np.mean([found[task, best].seconds for task in analysis.shared])
    body.append(("mean", *means[:-1], f"**{means[-1]}**", f"{seconds:.0f}"))
    return markdown(("task", *analysis.methods[:-1], f"**{best}**", "seconds"), body)


def minutes(file: str, suite_name: str, method: str) -> float:
    """How long a suite's runs of a method took, validations included [min of one core]."""
    seeds = set(map(str, find_suite(suite_name).seeds))
    finals = [row for row in read_rows(HERE / file) if (row["method"], row["point"]) == (method, "final")]
    return sum(float(row["seconds"]) for row in finals if row["seed"] in seeds) / 60


def worst(file: str, method: str, number: int = 10) -> str:
    """The tasks on which the first seed of a method is worst, and what other seeds reach there."""
    finals = [row for row in read_rows(HERE / file) if (row["method"], row["point"]) == (method, "final")]
    reached = {(row["task"], row["seed"]): float(row["value"]) for row in finals if row["measure"] == "success"}
    seeds = sorted({seed for _, seed in reached})
    tasks = sorted({task for task, _ in reached}, key=lambda task: (reached[task, seeds[0]], task))[:number]
    body = []
    for task in tasks:
        others = [reached.get((task, seed)) for seed in seeds[1:]]
        body.append((task, rate([reached[task, seeds[0]]]), *(rate([other]) for other in others), rate(others)))
    columns = [[reached.get((task, seed)) for task in tasks] for seed in seeds]
    others = [one for column in columns[1:] for one in column]
    body.append(("**mean**", *map(rate, columns), rate(others)))
    return markdown(("task", *(f"seed {seed}" for seed in seeds), "mean of the others"), body)


def reference(file: str, suite_name: str, *methods: str) -> str:
    """Bands for a suite's `reference`, as YAML: 99.9% intervals of all runs of a method on a task, 5 points wider.

    Args:
        file: the table.
        suite_name: the suite.
        methods: which of its methods.
    """
    suite, lines = find_suite(suite_name), ["reference:"]
    finals = [row for row in read_rows(HERE / file) if row["point"] == "final" and row["task"] in suite.tasks]
    for (method,), rows in by(finals, "method").items():
        if method in methods:
            lines.append(f"  {method}:")
            for (task,), runs in by(rows, "task").items():
                played = [(round(float(run["value"]) * int(run["episodes"])), int(run["episodes"])) for run in runs]
                ends = np.array([wilson_interval(*one, confidence=0.999) for one in played])
                low, high = max(0.0, ends[:, 0].min() - 0.05), min(1.0, ends[:, 1].max() + 0.05)
                lines.append(f"    {task}: [{low:.2f}, {high:.2f}]")
    return "\n".join(lines)


def tuning() -> str:
    """What the variants of `tuning.yaml` achieved in validations, by which they are chosen: the best of each run."""
    groups = by(read_rows(HERE / "tuning.csv"), "method", "task")
    methods, tasks = list(dict.fromkeys(method for method, _ in groups)), find_suite(str(HERE / "tuning.yaml")).tasks
    body = []
    for method in methods:
        runs = [groups.get((method, task), []) for task in tasks]
        best = [max((float(r["value"]) for r in run if r["point"] == "validation"), default=None) for run in runs]
        seconds = [float(row["seconds"]) for run in runs for row in run if row["point"] == "final"]
        body.append((method, *(rate([one]) for one in best), rate(best), f"{np.mean(seconds):.0f}"))
    return markdown(("variant", *tasks, "mean", "seconds"), body)


def complete_runs(file: str, suite_name: str, methods: tuple[str, ...] = ()) -> tuple[Suite, Standings]:
    """A suite, and those of its runs in a table whose task and seed every method (by default all) has there.

    Seeds that some of the tasks lack are left out: all tasks count alike. A table may hold more, as `comparisons.csv`
    does: what several suites have in common was run once.
    """
    suite = narrowed(find_suite(suite_name), methods=methods or None)
    parts = {"task": suite.tasks, "method": suite.methods, "seed": tuple(map(str, suite.seeds))}
    rows = [row for row in read_rows(HERE / file) if all(row[name] in part for name, part in parts.items())]
    seeds = {name: set(by(group, "task", "seed")) for (name,), group in by(rows, "method").items()}
    complete = set.intersection(*seeds.values())  # a table may be printed while runs are under way
    tasks = {task for task, _ in complete}
    complete = {(task, seed) for task, seed in complete if all((other, seed) in complete for other in tasks)}
    standings: Standings = {}
    for (task, method, seed), group in by(rows, "task", "method", "seed").items():
        if (task, seed) in complete:
            member = Member(task, method, int(seed), suite.methods[method].kind, {})
            origin = Origin(group[0].get("source", ""), group[0].get("cpu", ""))
            standings[str(member)] = Standing(member, "done", points=tuple(map(_point, group)), origin=origin)
    return suite, standings


def _lead(standings: Standings, method: str, other: str, axis: Axis) -> Estimate:
    """How far a method's final success is above what another could show when that one had spent as much.

    Until it is finished, a method can show the best of its validations and, before the first one, the prior. The mean
    is over tasks, of pairs of runs with the same task and seed; the interval is Student's over pairs, within tasks.
    """
    pairs: dict[str, list[float]] = {}
    for standing in standings.values():
        if standing.member.method == method:
            rival, prior = (standings[str(replace(standing.member, method=name))] for name in (other, "prior"))
            spent = getattr(standing.final, axis)
            by_then = [point for point in rival.points if getattr(point, axis) <= spent]
            shown = [point.value for point in by_then if point.point == "final"]
            shown = shown or [prior.final.value, *(point.value for point in by_then if point.point == "validation")]
            pairs.setdefault(standing.member.task, []).append(standing.final.value - max(shown))
    return _mean_lead([np.array(task) for task in pairs.values()])


def _area_lead(analysis: Analysis, method: str, other: str, axis: Axis) -> Estimate | None:
    """How far a method's learning curve is above another's on average, up to the end of a task's longest run."""
    areas = [[analysis.areas(task, name, True, axis) for task in analysis.shared] for name in (method, other)]
    if not all(len(task) for name in areas for task in name):
        return None  # one of them does not learn
    return _mean_lead([own - others for own, others in zip(*areas, strict=True)])


def _on_one_machine(standings: Standings, method: str, other: str) -> bool:
    """Whether runs of two methods with the same task and seed had the same processor: else seconds say nothing."""
    cpus: dict[tuple[str, int], set[str]] = {}
    for standing in standings.values():
        if standing.member.method in (method, other):
            member, origin = standing.member, standing.origin
            cpus.setdefault((member.task, member.seed), set()).add(origin.cpu if origin else "")
    return all(len(names) == 1 for names in cpus.values())


def _mean_lead(leads: list[np.ndarray]) -> Estimate:
    """The mean over tasks, of pairs of runs; the interval is Student's over pairs, within tasks."""
    low, high = mean_of_tasks_interval(leads, [None] * len(leads))
    middle = float(np.mean([task.mean() for task in leads]))
    return Estimate(middle, low, high) if np.isfinite(low) else Estimate(middle)


def _without_second(row: tuple[str, ...]) -> tuple[str, ...]:
    return (row[0], *row[2:])


def _points_ahead(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    low, high = estimate.low, estimate.high  # Student's interval does not know that 100 points are all there are
    ends = "" if low is None or high is None else f" ({100 * max(low, -1.0):+.1f} to {100 * min(high, 1.0):+.1f})"
    return f"{round(100 * estimate.value, 1) + 0.0:+.1f}{ends}"  # + 0.0: zero has no minus


def _point(row: dict[str, str]) -> Point:
    episodes = int(row["episodes"]) if row["episodes"] else None
    numbers = int(row["env_steps"]), float(row["seconds"]), row["measure"], float(row["value"]), episodes
    return Point(row["point"], *numbers)  # pyright: ignore[reportArgumentType]


def _difference(scores: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> np.ndarray:
    return scores[0].mean(axis=-1) - others[0].mean(axis=-1)


if __name__ == "__main__":
    print(leaderboard("mt50", file="mt50.csv"), "", worst("mt50.csv", "steer"), sep="\n")
    print("", reference("mt50.csv", "mt50", "prior", "steer"), sep="\n")
    for suite_name in ("assembly", "quick"):
        print("", reference("comparisons.csv", suite_name, "prior", "rlpd", "steer"), sep="\n")
    print("", reference("comparisons.csv", "dexterous", "prior", "residual", "steer"), sep="\n")
    print("", tuning(), "", leaderboard("assembly"), sep="\n")
    print("", summary("assembly", "prior", "residual", "rlpd", "steer"), "", leaderboard("dexterous"), sep="\n")
    print("", method_by_method("quick"), "", method_by_method("agents"), sep="\n")
    print("", returns("weightings_fast.csv", "weightings-fast"), sep="\n")
