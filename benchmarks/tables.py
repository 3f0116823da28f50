"""The tables of the documentation, from the committed CSV files; those of suites are in leaderboards.py.

python benchmarks/tables.py
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from cells import by, markdown, mean, rate
from rows import HERE, read_rows
from scipy.stats import rankdata

from expertgen.demos.calibrated import shipped_calibrations
from expertgen.dynamics.weighting.interface import Limits
from expertgen.evaluation.comparison import interquartile_mean, stratified_bootstrap
from expertgen.suite.plan import find_suite

MAIN = ("peg-insert-side", "assembly", "stick-pull", "box-close")
"""The tasks that are summarized in one number."""

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


def each(group: list[dict[str, str]]) -> str:
    """The expert of every seed with its Wilson interval, as percentages."""
    columns = [[100 * float(row[name]) for name in ("expert", "expert_low", "expert_high")] for row in group]
    return ", ".join(f"{middle:.1f} ({low:.1f}–{high:.1f})" for middle, low, high in columns)


def span(group: list[dict[str, str]], column: str) -> str:
    """Smallest and largest value of a column."""
    values = [float(row[column]) for row in group]
    return f"{min(values):.0f}–{max(values):.0f}"


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
            low, high = np.nanquantile(rank_correlation(pair[draws]), (0.025, 0.975))
            cells.append(f"{rank_correlation(pair):+.2f} ({low:+.2f} to {high:+.2f})")
        body.append((words, str(len(known)), *cells))
    return markdown(("measured before RL", "priors", *AFTER_RL.values()), body)


def steered_priors() -> str:
    """Priors of `steerability.yaml`: what was measured of each before RL, and what steering made of it."""
    suite = find_suite(str(HERE / "steerability.yaml"))
    found = by(read_rows(HERE / "steerability.csv"), "task", "kind", "demonstrations", "chunk_length")
    header = ("task", "imperfection", "episodes", "succeed", "prior", "one of eight", "expert (95%)", "area")
    body = []
    for task, method in product(suite.tasks, suite.methods):
        kind, episodes = method.rsplit("-", 1)
        (row,) = found[task, kind, episodes, "4"]
        before = (f"{float(row[column]):.0%}" for column in ("demos", "prior", "coverage"))
        body.append((task, kind.replace("-", " "), episodes, *before, each([row]), f"{float(row['area']):.2f}"))
    return markdown(header, body)


def rank_correlation(pairs: np.ndarray) -> np.ndarray:
    """Spearman's of two columns `[..., N, 2]`: `[...]`, NaN where one of them is constant."""
    ranks = rankdata(pairs, axis=-2)
    centred = ranks - ranks.mean(axis=-2, keepdims=True)
    deviations = np.sqrt((centred**2).sum(axis=-2)).prod(axis=-1)
    return centred.prod(axis=-1).sum(axis=-1) / np.where(deviations > 0, deviations, np.nan)


def chunks() -> str:
    """What steering reaches with chunks of 8 and of 4 control steps."""
    groups = by(read_rows(HERE / "chunks.csv"), "task", "method")
    body = []
    for task in dict.fromkeys(task for task, _ in groups):
        cells = []
        for method in ("chunk-8", "chunk-4"):
            final = [row for row in groups.get((task, method), []) if row["point"] == "final"]
            cells += [rate([float(row["value"])]) for row in final] or [""]
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
        rates = (rate([float(row["success"]) for row in found.get((method,), [])] or [None]) for method in methods)
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


def _mean_of_means(scores: Sequence[np.ndarray]) -> np.ndarray:
    return np.mean([score.mean(axis=-1) for score in scores], axis=0)


if __name__ == "__main__":
    print(calibration(), "", sep="\n")
    print(steering(), over_tasks(), fresh(), students("students.csv"), students("depth.csv"), sep="\n\n")
    print("", offline("error_newest", 32), "", offline("error_newest_5_steps", 32), sep="\n")
    print("", offline("error_newest", 32, "deterministic"), sep="\n")
    print("", sources(), sep="\n")
    print("", robustness(), "", steerability(8), "", steerability(4), "", steered_priors(), sep="\n")
    print("", chunks(), chunk_priors(), "", options(), sep="\n")
