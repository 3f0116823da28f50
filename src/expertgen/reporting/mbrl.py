"""The page of a run of model-based reinforcement learning, from the files of its folder, finished or not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from expertgen.errors import FileError, UsageError
from expertgen.evaluation.statistics import mean_interval
from expertgen.mbrl.run import default_settings
from expertgen.reporting.page import flat, load_template
from expertgen.reporting.record import is_number, read_object
from expertgen.reporting.words import count, duration, figure
from expertgen.runs.config import plain
from expertgen.runs.files import write_text
from expertgen.runs.metrics import read_metrics

WEIGHTINGS = {
    "uniform": "All transitions count alike: plain model-based policy optimisation (MBPO).",
    "recency": "Newer transitions count more.",
    "pdml": "Data of past policies count by how near those policies are to the present one.",
    "pmer": "What the model predicts badly counts more.",
    "discriminator": "Transitions count by how much they look like the newest ones.",
    "tom-chi2": "Transition occupancy matching: transitions count as often as the present policy would make them.",
    "tom-kl": "Transition occupancy matching: transitions count as often as the present policy would make them.",
    "vagram": "No weights, but another objective: a model's error counts as far as it changes the agent's value.",
}
"""Weighting → what it does, in one line."""

LIMITED = ("pmer", "discriminator", "tom-chi2", "tom-kl")
"""Weightings whose weights are limited."""

_NUMBERS = ("return", "return_deviation", "episodes", "env_steps", "updates", "seconds", "peak_memory_mb")
"""What `results.json` has to hold."""


@dataclass(frozen=True)
class MbrlRecord:
    """Everything that the page shows.

    Attributes:
        folder: the run folder.
        about: `run.json`: command, machine, versions.
        config: `config.json`, the settings.
        results: `results.json`; empty while the run is not finished.
        rows: of `metrics.jsonl`.
    """

    folder: Path
    about: Mapping[str, Any]
    config: Mapping[str, Any]
    results: Mapping[str, Any]
    rows: list[dict[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> MbrlRecord:
        """Reads what there is (FileError if it is the folder of something else, or a file is broken)."""
        if not is_mbrl_run(folder):
            raise FileError(f"{folder} is not the folder of a run of expertgen mbrl: config.json has no group 'mbpo'")
        path = folder / "results.json"
        results = read_object(path)
        for key in _NUMBERS if path.exists() else ():
            if not is_number(results.get(key)):
                raise FileError(f"{path} has no finite number under {key!r}")
        about, config = read_object(folder / "run.json"), read_object(folder / "config.json")
        return cls(folder, about, config, results, read_metrics(folder))

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """Rows of the evaluations while learning."""
        return [row for row in self.rows if is_number(row.get("step")) and is_number(row.get("return"))]

    @property
    def progress(self) -> dict[str, float]:
        """How far it got: steps, of how many, and seconds."""
        last = self.rows[-1] if self.rows else {}
        found = {
            "steps": last.get("step"),
            "of": self.config["mbpo"].get("env_steps"),
            "seconds": last.get("seconds"),
        }
        return {name: value if is_number(value) else 0 for name, value in found.items()}

    def varies(self, key: str) -> bool:
        """Whether a metric has more than one value."""
        return len({row[key] for row in self.rows if is_number(row.get(key))}) > 1

    def lately(self, key: str) -> float | None:
        """Median of a metric over the last quarter of its rows; None where it was never logged."""
        values = [row[key] for row in self.rows if is_number(row.get(key))]
        return float(np.median(values[-math.ceil(len(values) / 4) :])) if values else None


def is_mbrl_run(folder: Path) -> bool:
    """Whether a folder is that of such a run (FileError if its settings are broken)."""
    return isinstance(read_object(folder / "config.json").get("mbpo"), dict)


def write_mbrl_report(folder: Path) -> Path:
    """Writes `report.html` into the folder of a run, finished or not; same files, same bytes.

    Args:
        folder: the run folder, see `is_mbrl_run`.

    Returns:
        the path of the report.

    Raises:
        UsageError: if the extra `report` is not installed.
        FileError: if a file of the run is broken.
    """
    template, record = load_template("mbrl.html.j2"), MbrlRecord.read(folder)
    path = folder / "report.html"
    write_text(path, template.render(**_content(record)))
    return path


def _content(record: MbrlRecord) -> dict[str, Any]:
    """Everything that the template shows; figures as SVG text."""
    config, results = record.config, record.results
    weighting = config.get("weighting", "uniform")
    shown = results or (record.evaluations[-1] if record.evaluations else None)
    return {
        "task": record.about.get("task") or config.get("task", record.folder.name),
        "seed": config.get("seed"),
        "about": record.about,
        "machine": record.about.get("machine", {}),
        "finished": bool(results),
        "headline": _headline(record),
        "shown": shown["return"] if shown else None,
        "results": results,
        "progress": record.progress,
        "weighting": weighting,
        "meaning": WEIGHTINGS.get(weighting, ""),
        "act_with": config.get("act_with", "policy"),
        "episodes": config["mbpo"].get("evaluation_episodes"),
        "limit": _limit(config) if weighting in LIMITED else None,
        "weighs": [name for name in ("weight_model", "weight_starts") if config["mbpo"].get(name, True)],
        "weighted": (record.lately("weights_effective_sample_size") or 1.0) < 1.0,
        "lately": record.lately,
        "figures": _figures(record),
        "changed": _changed(config),
        "config": flat(config),
    }


def _limit(config: Mapping[str, Any]) -> float:
    """The largest weight that there can be: bounded, then mixed with uniform ones."""
    limits = config.get("limits", {})
    return 1 + limits.get("mix", 1.0) * (limits.get("largest", 1.0) - 1)


def _headline(record: MbrlRecord) -> str:
    """What came of the run, or how far it got, in a sentence or two."""
    results, progress = record.results, record.progress
    if results:
        low, high = mean_interval(results["return"], results["return_deviation"], results["episodes"])
        sure = f" ± {figure((high - low) / 2, 2)} (95% interval)" if math.isfinite(low) else ""
        return (
            f"On {results['episodes']} held-out episodes the agent's mean return is {figure(results['return'])}{sure}, "
            f"with a deviation of {figure(results['return_deviation'], 2)} between episodes. It took "
            f"{count(results['env_steps'])} steps in the environment and {duration(results['seconds'])}."
        )
    text = f"This run has not finished: {count(progress['steps'])} of {count(progress['of'])} steps so far. "
    if not record.evaluations:
        return f"{text}The agent was not evaluated yet."
    best = max(record.evaluations, key=lambda row: row["return"])
    text += f"The last evaluation's mean return was {figure(record.evaluations[-1]['return'])}"
    return f"{text}, the best one's {figure(best['return'])}, after {count(best['step'])} steps."


def _figures(record: MbrlRecord) -> dict[str, str | None]:
    """Figures by name; None where there is nothing to show."""
    from expertgen.reporting.charts import Line, lines_chart, metric_chart
    from expertgen.reporting.figures import WIDE
    from expertgen.reporting.mbrl_charts import STEPS, ages_chart, return_chart, value_chart

    rows, results, agent = record.rows, record.results, record.config.get("agent", {})
    errors = [Line("error_newest", "expert", "newest data"), Line("error_buffer", "demos", "older data")]
    residuals = [Line("residual_newest", "expert", "newest data"), Line("residual_buffer", "demos", "older data")]
    coverages = [Line("coverage_newest", "expert", "newest data"), Line("coverage_buffer", "demos", "older data")]
    training = [Line("model_holdout_before", "demos", "before"), Line("model_holdout", "expert", "after")]
    chart = partial(metric_chart, rows, color="expert", over=STEPS)
    entropy = agent.get("target_entropy")
    return {
        "return_step": return_chart(rows, "step", results),
        "return_seconds": return_chart(rows, "seconds", results),
        "error": lines_chart(rows, errors, "Error of one step", STEPS, width=WIDE, log=True),
        "error_steps": chart("error_newest_5_steps", "Error after five steps", width=WIDE, log=True),
        "residual": lines_chart(rows, residuals, "Squared residual", STEPS, width=WIDE, log=True),
        "coverage": lines_chart(rows, coverages, "Share within the 80% interval", STEPS, width=WIDE),
        "holdout": lines_chart(rows, training, "Holdout error", STEPS, log=True),
        "rollout": chart("rollout_length", "Steps of a rollout") if record.varies("rollout_length") else None,
        "ages": ages_chart(rows),
        "sample_size": chart("weights_effective_sample_size", "Effective sample size", width=WIDE),
        "largest": chart("weights_largest", "Largest weight", log=True),
        "zeros": chart("weights_zeros", "Weights that are 0") if record.varies("weights_zeros") else None,
        "raw_mean": chart("weights_raw_mean", "Mean before normalising", log=True),
        "value": value_chart(rows, agent.get("discount", 0.99)),
        "td_error": chart("td_error", "TD error"),
        "critic_loss": chart("critic_loss", "Critic loss", log=True),
        "actor_loss": chart("actor_loss", "Actor loss"),
        "entropy": chart("entropy", "Entropy", reference=(entropy, "target") if entropy is not None else None),
        "temperature": chart("temperature", "Temperature", log=True),
    }


def _changed(config: Mapping[str, Any]) -> list[tuple[str, str, str]] | None:
    """Settings that are not those of the task's preset: name, here, there; None where the task is not known here."""
    try:
        preset = dict(flat(plain(default_settings(str(config.get("task"))))))
    except UsageError:
        return None
    own = {"task", "seed", "weighting"}  # said at the head of the page
    rows = ((key, value, preset.get(key, "–")) for key, value in flat(config) if key not in own)
    return [row for row in rows if row[1] != row[2]]
