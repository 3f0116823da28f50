"""The tables of the documentation, from the committed CSV files.

python benchmarks/tables.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from rows import HERE, read_rows
from scipy.stats import spearmanr

from expertgen.demos.calibrated import shipped_calibrations
from expertgen.dynamics.weighting.interface import Limits
from expertgen.evaluation.comparison import interquartile_mean, mean_of_tasks_interval, stratified_bootstrap
from expertgen.evaluation.statistics import wilson_interval
from expertgen.suite.analysis import Analysis, Axis, Estimate
from expertgen.suite.plan import Member, Suite, find_suite, narrowed
from expertgen.suite.runner import Standing, Standings
from expertgen.suite.table import Motion, Origin, Point

MAIN = ("peg-insert-side", "assembly", "stick-pull", "box-close")
"""The tasks that are summarized in one number."""

MOTION: dict[Motion, str] = {"jerk_ratio": "jerk, of the prior's", "saturation": "actions at their bound"}
"""What is said of how policies move."""

AXES: dict[Axis, str] = {"env_steps": "env steps", "seconds": "seconds"}
"""What methods may spend alike."""

BEFORE_RL = {
    "demos": "success of the demonstrations",
    "prior": "success of the prior",
    "coverage": "starts from which one of eight tries succeeds",
    "best_constant": "success of the best constant noise",
    "zero_noise": "success without noise",
    "chunk_spread": "spread of the chunks over noise",
}
"""What benchmarks/steerability.py measures of a prior."""

AFTER_RL = {"expert": "final success", "area": "area under the curve"}
"""What it measures of what steering made of that prior."""


def markdown(header: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, *body)]
    return "\n".join([lines[0], "|" + "---|" * lines[0].count(" | ") + "---|", *lines[1:]])


def mean(group: list[dict[str, str]], column: str) -> float:
    """Mean of a column, rows without a value left out."""
    return float(np.mean([float(row[column]) for row in group if row.get(column)]))


def each(group: list[dict[str, str]]) -> str:
    """The expert of every seed with its Wilson interval, as percentages."""
    columns = [[100 * float(row[name]) for name in ("expert", "expert_low", "expert_high")] for row in group]
    return ", ".join(f"{mean:.1f} ({low:.1f}–{high:.1f})" for mean, low, high in columns)


def span(group: list[dict[str, str]], column: str) -> str:
    """Smallest and largest value of a column."""
    values = [float(row[column]) for row in group]
    return f"{min(values):.0f}–{max(values):.0f}"


def by(table: Iterable[dict[str, str]], *columns: str) -> dict[tuple[str, ...], list[dict[str, str]]]:
    """Groups rows by columns, in order of appearance."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in table:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups


def steering() -> str:
    """Demonstrations, prior and expert of every task."""
    header = (
        *("task", "demonstrations", "prior", "expert (mean)", "expert, each seed (95%)", "env steps"),
        *("CPU seconds", "wall seconds"),
    )
    return markdown(
        header,
        (
            (
                task,
                f"{mean(group, 'demos'):.1%}",
                f"{mean(group, 'prior'):.1%}",
                f"**{mean(group, 'expert'):.1%}**",
                each(group),
                f"{mean(group, 'env_steps') / 1000:.0f} k",
                f"{mean(group, 'steer_cpu_seconds'):.0f} ({span(group, 'steer_cpu_seconds')})",
                span(group, "steer_seconds"),
            )
            for (task,), group in by(read_rows(HERE / "steering.csv"), "task").items()
        ),
    )


def over_tasks() -> str:
    """Experts of the main tasks in one number: interquartile mean, runs drawn anew within each task."""
    groups = by(read_rows(HERE / "steering.csv"), "task")
    scores = [np.array([float(row["expert"]) for row in groups[task,]]) for task in MAIN]
    low, high = stratified_bootstrap(interquartile_mean, scores)
    return f"{len(MAIN)} tasks × {len(scores[0])} seeds: {interquartile_mean(scores):.1%} ({low:.1%} to {high:.1%})"


def fresh() -> str:
    """The same policies on a seed that nobody looked at."""
    known = {(row["task"], row["seed"]): row["expert"] for row in read_rows(HERE / "steering.csv")}
    header = ("task", "seed", "expert", "the same, fresh", "teacher, fresh", "student, fresh")
    body = []
    for row in read_rows(HERE / "fresh.csv"):
        rates = (known[row["task"], row["seed"]], row["expert"], row["teacher"], row["student"])
        body.append((row["task"], row["seed"], *(f"{float(rate):.1%}" if rate else "" for rate in rates)))
    return markdown(header, body)


def students(table: str) -> str:
    """Students of every kind against their teachers.

    Args:
        table: students.csv, or depth.csv (one seed on another machine, with its own experts).
    """
    header = (
        "student", "task", "seeds", "teacher", "student", "of teacher", "camera errors", "of teacher",
        "perturbed start", "of teacher there", "seconds",
    )  # fmt: skip
    body = []
    for (kind, task), group in by(read_rows(HERE / table), "kind", "task").items():
        teacher, clean, hard = (mean(group, column) for column in ("teacher", "student", "hard"))
        perturbed, teacher_perturbed = mean(group, "perturbed"), mean(group, "perturbed_teacher")
        shares = (
            f"{teacher:.1%}",
            f"**{clean:.1%}**",
            f"{clean / teacher:.0%}",
            f"{hard:.1%}",
            f"{hard / teacher:.0%}",
            f"{perturbed:.1%}",
            f"{perturbed / teacher_perturbed:.0%}",
        )
        body.append((kind, task, str(len(group)), *shares, f"{mean(group, 'cpu_seconds'):.0f}"))
    return markdown(header, body)


def offline(measure: str, width: int, ensemble: str = "gaussian", beside: str = "recency") -> str:
    """Errors of the world model on recorded streams, in parts of the uniform weighting's with the same seed.

    A cell of a stream is the geometric mean over refreshes and seeds. Then follow that over streams and, likewise, that
    of the ratio to another weighting, with intervals of a bootstrap over seeds within each stream.

    Args:
        measure: column of weightings_offline.csv.
        width: hidden width of the model.
        ensemble: what its members predict.
        beside: the other weighting.
    """
    rows = read_rows(HERE / "weightings_offline.csv")
    rows = [row for row in rows if row["ensemble"] == ensemble and int(row["width"]) == width]
    groups = by(rows, "weighting", "mix")
    replays = {name: by(group, "stream", "seed") for name, group in groups.items()}
    complete = sorted(set.intersection(*map(set, replays.values())))  # printed while others are under way
    streams = list(dict.fromkeys(stream for stream, _ in complete))

    def logs(weighting: str, mix: str) -> list[np.ndarray]:
        """Mean log error of each seed, of each stream."""
        means = {key: np.log([float(row[measure]) for row in replays[weighting, mix][key]]).mean() for key in complete}
        return [np.array([means[key] for key in complete if key[0] == stream]) for stream in streams]

    default = str(Limits().mix)
    body = []
    for weighting, mix in groups:
        own, size = logs(weighting, mix), mean(groups[weighting, mix], "weights_effective_sample_size")
        ratios = [a - b for a, b in zip(own, logs("uniform", default), strict=True)]
        cells = [f"{np.exp(ratio.mean()):.3f}" for ratio in ratios]
        cells += [_geometric(ratios)]
        if (beside, default) in groups:
            cells += [_geometric([a - b for a, b in zip(own, logs(beside, default), strict=True)])]
        name = weighting if mix == default else f"{weighting}, λ = {mix}"
        body.append((name, f"{size:.2f}", *cells))
    names = (stream.rpartition("-")[0] for stream in streams)
    last = (f"beside {beside}",) if (beside, default) in groups else ()
    return markdown(("weighting", "effective sample size", *names, "all", *last), body)


def _geometric(logs: list[np.ndarray]) -> str:
    overall = f"{np.exp(_mean_of_means(logs)):.3f}"
    if min(map(len, logs)) < 2 or not any(log.any() for log in logs):
        return overall
    low, high = np.exp(stratified_bootstrap(_mean_of_means, logs))
    return f"{overall} ({low:.3f}–{high:.3f})"


def returns(file: str, suite_name: str) -> str:
    """A suite of weightings: final returns, and the areas under the curves of returns beside uniform weights.

    A cell of a task is the mean final return and, in brackets, by how much the area under the curve, which is a mean
    return as well, is above that of `uniform`, with the 95% interval of a bootstrap over seeds. Then follow
    interquartile means of scaled final returns and areas, with theirs, and the chance to beat a run of `uniform`.

    Args:
        file: the results.csv of the suite, or those of several machines joined.
        suite_name: the suite.
    """
    suite, standings = _complete(file, suite_name)
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
        overall, area = (_interval(e) for e in (analysis.overall(method), analysis.overall_area(method)))
        better = "" if method == "uniform" else _interval(analysis.improvement(method, "uniform"))
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
    suite, standings = _complete(file, suite_name, methods)
    analysis = Analysis(suite, standings)
    clean = {row["task"]: float(row["clean"]) for row in read_rows(HERE / "clean.csv")}
    found = {(row.task, row.method): row for row in analysis.rows()}
    names, best = analysis.methods, analysis.methods[-1]
    groups = [[found[task, method] for task in analysis.shared] for method in names]
    others = names[:-1]
    ahead = {name: analysis.improvement(best, name) for name in others}
    leads = {axis: [_points_ahead(_lead(standings, best, name, axis)) for name in others] for axis in AXES}
    on_the_way = {axis: [_area_lead(analysis, best, name, axis) for name in others] for axis in AXES}
    motion = [(words, [analysis.motion(method, measure) for method in names]) for measure, words in MOTION.items()]
    tasks = [(task, [found[task, method].estimate for method in names]) for task in analysis.shared]
    body = [(task, _rate([clean.get(task)]), *map(_percent, estimates)) for task, estimates in tasks]
    if len(tasks) > 1:
        averages = (_percent(analysis.average(method)) for method in names)
        body += [
            ("**mean**", _rate([clean.get(task) for task, _ in tasks]), *averages),
            ("**interquartile mean**", "", *(_percent(analysis.overall(method)) for method in names)),
        ]
    body += [
        (f"{best} is ahead in", "", *(_percent(ahead[name]) for name in others), ""),
        *((f"{best} is ahead by, after its own {words}", "", *leads[axis], "") for axis, words in AXES.items()),
        *((f"{best} is ahead by, on the way, over {words}", "", *on_the_way[axis], "") for axis, words in AXES.items()),
        *((words, "", *(f"{one.value:.2g}" if one else "" for one in estimates)) for words, estimates in motion),
        ("env steps", "", *(f"{np.mean([row.env_steps for row in rows]) / 1000:.0f} k" for rows in groups)),
        ("seconds", "", *(f"{np.mean([row.seconds for row in rows]):.0f}" for rows in groups)),
    ]
    header = ("task", "flawless demonstrator", *names)
    if not clean.keys() & set(analysis.shared):
        header, body = _without_second(header), [_without_second(row) for row in body]
    return markdown(header, (row for row in body if any(row[1:])))


def summary(suite_name: str, *methods: str) -> str:
    """A suite of experts in brief: success on each task, mean over seeds, and what the last method took.

    Args:
        suite_name: the suite.
        methods: which of its methods.
    """
    analysis = Analysis(*_complete("comparisons.csv", suite_name, methods))
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
        body.append((task, _rate([reached[task, seeds[0]]]), *(_rate([other]) for other in others), _rate(others)))
    columns = [[reached.get((task, seed)) for task in tasks] for seed in seeds]
    others = [rate for column in columns[1:] for rate in column]
    body.append(("**mean**", *map(_rate, columns), _rate(others)))
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
        body.append((method, *(_rate([one]) for one in best), _rate(best), f"{np.mean(seconds):.0f}"))
    return markdown(("variant", *tasks, "mean", "seconds"), body)


def steerability(chunk_length: int) -> str:
    """What is measured of priors before RL, beside what steering makes of them: Spearman's rank correlations.

    Intervals are of a bootstrap over priors.

    Args:
        chunk_length: of the priors.
    """
    rows = [row for row in read_rows(HERE / "steerability.csv") if int(row["chunk_length"]) == chunk_length]
    body = []
    for before, words in BEFORE_RL.items():
        known = [row for row in rows if row[before]]
        draws = np.random.default_rng(0).integers(len(known), size=(2000, len(known)))
        cells = []
        for after in AFTER_RL:
            pair = np.array([(float(row[before]), float(row[after])) for row in known])
            low, high = np.nanquantile([rank_correlation(pair[draw]) for draw in draws], (0.025, 0.975))
            cells.append(f"{rank_correlation(pair):+.2f} ({low:+.2f} to {high:+.2f})")
        body.append((words, str(len(known)), *cells))
    return markdown(("measured before RL", "priors", *AFTER_RL.values()), body)


def rank_correlation(pairs: np.ndarray) -> float:
    """Spearman's, of two columns; NaN where one of them is constant."""
    return float("nan") if (np.ptp(pairs, axis=0) == 0).any() else float(spearmanr(pairs).statistic)


def chunks() -> str:
    """What steering reaches with chunks of 8 and of 4 control steps."""
    groups = by(read_rows(HERE / "chunks.csv"), "task", "method")
    body = []
    for task in dict.fromkeys(task for task, _ in groups):
        cells = []
        for method in ("chunk-8", "chunk-4"):
            final = [row for row in groups.get((task, method), []) if row["point"] == "final"]
            cells += [_rate([float(row["value"])]) for row in final] or [""]
            cells += [f"{float(row['env_steps']) / 1000:.0f} k, {float(row['seconds']):.0f} s" for row in final] or [""]
        body.append((task, *cells))
    return markdown(("task", "chunks of 8", "env steps, seconds", "chunks of 4", "env steps, seconds"), body)


def options() -> str:
    """Variants of `options.yaml`: success, simulator steps with validations, and jerk in parts of the prior's."""
    suite = find_suite(str(HERE / "options.yaml"))
    rows = [row for row in read_rows(HERE / "options.csv") if int(row["seed"]) in suite.seeds]
    found = by((row for row in rows if row["point"] in ("final", "motion")), "task", "method", "measure")

    def cell(task: str, method: str) -> str:
        run, motion = (found.get((task, method, measure), []) for measure in ("success", "jerk_ratio"))
        if not run:
            return ""
        return f"{mean(run, 'value'):.1%}, {mean(run, 'env_steps') / 1000:.0f} k, {mean(motion, 'value'):.2f}"

    body = ((method, *(cell(task, method) for task in suite.tasks)) for method in suite.methods)
    return markdown(("variant", *suite.tasks), body)


def chunk_priors() -> str:
    """How often priors with chunks of 8 and of 4 control steps succeed, of the same demonstrations."""
    rows = read_rows(HERE / "chunk_priors.csv")
    pair = np.array([(float(row["chunk_8"]), float(row["chunk_4"])) for row in rows])
    ahead, (eight, four) = int((pair[:, 1] > pair[:, 0]).sum()), pair.mean(axis=0)
    return f"{four:.1%} instead of {eight:.1%} on average, more in {ahead} of {len(rows)} cases"


def robustness() -> str:
    """Success of the policies of suites, disturbed and undisturbed."""
    rows = read_rows(HERE / "robustness.csv")
    methods = sorted({row["method"] for row in rows}, key=lambda name: (name != "script", name != "prior", name))
    body = []
    for (task, name, strength), group in by(rows, "task", "perturbation", "strength").items():
        found = by(group, "method")
        rates = (_rate([float(row["success"]) for row in found.get((method,), [])] or [None]) for method in methods)
        body.append((task, name if name == "none" else f"{name}={float(strength):g}", *rates))
    return markdown(("task", "disturbed by", *methods), body)


def sources() -> str:
    """What prior and expert come of each source of demonstrations."""
    header = ("task", "source", "episodes", "demonstrations", "prior", "expert (mean)", "expert, each seed (95%)")
    groups = by(read_rows(HERE / "sources.csv"), "task", "source")
    body = (
        (
            task,
            source,
            group[0]["episodes"],
            *(f"{mean(group, name):.1%}" for name in ("demos", "prior", "expert")),
            each(group),
        )
        for (task, source), group in groups.items()
    )
    return markdown(header, body)


def calibration() -> str:
    """How imperfect each scripted demonstrator is, and what that leads to."""
    header = ("task", "strength", "demonstrations", "prior", "95%", "tried: strength → prior", "")
    body = []
    for task, one in shipped_calibrations().items():
        tried = ", ".join(f"{strength:.3g} → {prior:.1%}" for strength, prior in one.tried)
        rates = (f"{one.demos:.1%}", f"{one.prior:.1%}", f"{one.low:.1%}–{one.high:.1%}")
        body.append((task, f"{one.strength:.3g}", *rates, tried, "" if one.verdict == "in the band" else one.verdict))
    return markdown(header, body)


def _complete(file: str, suite_name: str, methods: tuple[str, ...] = ()) -> tuple[Suite, Standings]:
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
        task, seed = standing.member.task, standing.member.seed
        if standing.member.method == method:
            rival, prior = (standings[str(replace(standing.member, method=name))] for name in (other, "prior"))
            spent = getattr(standing.final, axis)
            timed_alike = standing.origin and rival.origin and standing.origin.cpu == rival.origin.cpu
            assert axis == "env_steps" or timed_alike, f"{task}, seed {seed}: {method}, {other} on two machines"
            by_then = [point for point in rival.points if getattr(point, axis) <= spent]
            shown = [point.value for point in by_then if point.point == "final"]
            shown = shown or [prior.final.value, *(point.value for point in by_then if point.point == "validation")]
            pairs.setdefault(task, []).append(standing.final.value - max(shown))
    return _mean_lead([np.array(task) for task in pairs.values()])


def _area_lead(analysis: Analysis, method: str, other: str, axis: Axis) -> str:
    """How far a method's learning curve is above another's on average, up to the end of a task's longest run."""
    areas = [[analysis.areas(task, name, True, axis) for task in analysis.shared] for name in (method, other)]
    if not all(len(task) for name in areas for task in name):
        return ""  # the prior does not learn
    return _points_ahead(_mean_lead([own - others for own, others in zip(*areas, strict=True)]))


def _mean_lead(leads: list[np.ndarray]) -> Estimate:
    """The mean over tasks, of pairs of runs; the interval is Student's over pairs, within tasks."""
    low, high = mean_of_tasks_interval(leads, [None] * len(leads))
    middle = float(np.mean([task.mean() for task in leads]))
    return Estimate(middle, low, high) if np.isfinite(low) else Estimate(middle)


def _without_second(row: tuple[str, ...]) -> tuple[str, ...]:
    return (row[0], *row[2:])


def _rate(rates: list[float | None]) -> str:
    """The mean of rates; nothing where one is not known."""
    known = [rate for rate in rates if rate is not None]
    return f"{np.mean(known):.1%}" if len(known) == len(rates) else ""


def _percent(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} ({100 * estimate.low:.1f}–{100 * estimate.high:.1f})"


def _points_ahead(estimate: Estimate) -> str:
    low, high = estimate.low, estimate.high  # Student's interval does not know that 100 points are all there are
    ends = "" if low is None or high is None else f" ({100 * max(low, -1.0):+.1f} to {100 * min(high, 1.0):+.1f})"
    return f"{round(100 * estimate.value, 1) + 0.0:+.1f}{ends}"  # + 0.0: zero has no minus


def _point(row: dict[str, str]) -> Point:
    episodes = int(row["episodes"]) if row["episodes"] else None
    numbers = int(row["env_steps"]), float(row["seconds"]), row["measure"], float(row["value"]), episodes
    return Point(row["point"], *numbers)  # pyright: ignore[reportArgumentType]


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None:
        return "" if estimate is None else f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} ({estimate.low:.2f}–{estimate.high:.2f})"


def _difference(scores: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> np.ndarray:
    return scores[0].mean(axis=-1) - others[0].mean(axis=-1)


def _mean_of_means(scores: Sequence[np.ndarray]) -> np.ndarray:
    return np.mean([score.mean(axis=-1) for score in scores], axis=0)


if __name__ == "__main__":
    print(calibration(), "", sep="\n")
    print(steering(), over_tasks(), fresh(), students("students.csv"), students("depth.csv"), sep="\n\n")
    print("", offline("error_newest", 32), "", offline("error_newest_5_steps", 32), sep="\n")
    print("", offline("error_newest", 32, "deterministic"), sep="\n")
    print("", returns("weightings_fast.csv", "weightings-fast"), "", sources(), sep="\n")
    print("", robustness(), "", steerability(8), "", steerability(4), sep="\n")
    print("", chunks(), chunk_priors(), "", options(), sep="\n")
    print("", leaderboard("mt50", file="mt50.csv"), "", worst("mt50.csv", "steer"), sep="\n")
    print("", reference("mt50.csv", "mt50", "prior", "steer"), sep="\n")
    for suite_name in ("assembly", "quick"):
        print("", reference("comparisons.csv", suite_name, "prior", "rlpd", "steer"), sep="\n")
    print("", reference("comparisons.csv", "dexterous", "prior", "residual", "steer"), sep="\n")
    print("", tuning(), "", leaderboard("assembly"), sep="\n")
    print("", summary("assembly", "prior", "residual", "rlpd", "steer"), "", leaderboard("dexterous"), sep="\n")
