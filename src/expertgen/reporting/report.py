"""The report of a run: one HTML file with everything inside, which opens anywhere, offline, for years."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expertgen.evaluation.evaluate import Evaluation
from expertgen.evaluation.results import CONTROLS, STAGES
from expertgen.evaluation.robustness import Robustness
from expertgen.reporting import words
from expertgen.reporting.page import flat, load_template
from expertgen.reporting.record import Clip, RunRecord
from expertgen.runs.files import write_text

_PRIOR = (("loss", "Denoising loss"),)
_STUDENT = (("loss", "Imitation loss"), ("mixed_success", "Success while collecting"), ("alpha", "Teacher's share"))
_HEALTH = (
    ("noise_norm", "Noise norm"),
    ("residual_norm", "Norm of the corrections"),
    ("action_norm", "Norm of the actions"),
    ("prior_share", "Share of the prior's chunks"),
    ("imitated", "Imitated share of a batch"),
    ("ratio_clipped", "Clipped ratios"),
    ("q", "Q"),
    ("td_error", "TD error"),
    ("entropy", "Entropy per dimension"),
    ("temperature", "Temperature"),
    ("critic_loss", "Critic loss"),
)
"""Metrics of steering that tell whether learning is sound."""

_FEW_FAILURES, _MOST_FAILURES = 5, 40
"""Failed episodes of a stage that are shown without a click, and that are listed at all."""


def write_report(run_folder: Path) -> Path:
    """Writes `report.html` into a run folder, from the files in it alone.

    Whatever a run has not got to yet is left out, so a stopped run has a report, too. The file is written atomically
    and loads nothing from anywhere.

    Args:
        run_folder: a run folder; `docs/report.md` lists the files that are read.

    Returns:
        the path of the report.

    Raises:
        UsageError: if the extra `report` is not installed.
        FileError: if the folder is not a run folder or one of its files is broken.
    """
    record = RunRecord.read(run_folder)
    page = load_template("report.html.j2").render(**_content(record))
    path = run_folder / "report.html"
    write_text(path, page)
    return path


def _content(record: RunRecord) -> dict[str, Any]:
    """Everything that the template shows; figures as SVG text."""
    results, about = record.results, record.about
    method = record.config.get("method", "steer")
    stages = dict(results.stages) if results else {}
    return {
        "task": about.get("task") or (results.task if results else record.folder.name),
        "seed": about.get("seed", results.seed if results else None),
        "command": about.get("command") or (results.command if results else ""),
        "about": about,
        "versions": about.get("versions") or (results.versions if results else {}),
        "machine": about.get("machine", {}),
        "memory": results.peak_memory_mb if results else None,
        "notes": results.notes if results else {},
        "headline": words.headline(stages, method),
        "titles": words.TITLES,
        "meanings": words.MEANINGS | {"expert": words.METHODS[method].meaning},
        "learning": words.METHODS[method].learning,
        "steered": method == "steer",
        "leap": _leap(stages),
        "stages": {name: stages[name] for name in STAGES if name in stages},
        "controls": {name: stages[name] for name in CONTROLS if name in stages},
        "figures": _figures(record),
        "noise_size": record.noise.dimension if record.noise else None,
        "rings": [record.noise.inside(ring) for ring in (1, 2, 3)] if record.noise else [],
        "robustness": _robustness(record.robustness),
        "clips": _clips(record.clips),
        "seen": [outcome for outcome in ("success", "failure") if outcome in {_outcome(clip) for clip in record.clips}],
        "failures": {name: failures for name, failures in record.failures.items() if failures},
        "few_failures": _FEW_FAILURES,
        "most_failures": _MOST_FAILURES,
        "played": next((stages[name].episodes for name in ("prior", "expert", "student") if name in stages), None),
        "chunk_spread": record.chunk_spread,
        "config": flat(record.config),
    }


def _leap(stages: Mapping[str, Evaluation]) -> dict[str, Evaluation]:
    """The policies of a run, one made of the other; an expert that was given is seen as the teacher only."""
    expert = "expert" if "expert" in stages else "teacher"
    return {name: stages[name] for name in ("prior", expert, "student") if name in stages}


def _robustness(robustness: Robustness | None) -> dict[str, Any] | None:
    """The table of what disturbed policies achieve: rows of perturbations and strengths, a pair of cells a policy."""
    if robustness is None or not robustness.trials:
        return None
    policies, rows = robustness.policies(), []
    for perturbation, strength in robustness.disturbances():
        trials = [robustness.find(policy, perturbation, strength) for policy in policies]
        cells = [(trial.success, robustness.recovery(trial)) if trial else (None, None) for trial in trials]
        about = (words.PERTURBATIONS[perturbation], words.strength_in_words(perturbation, strength))
        rows.append((*about, cells))
    return {"policies": policies, "rows": rows, "episodes": robustness.episodes}


def _figures(record: RunRecord) -> dict[str, list[str]]:
    """Section → its figures that have something to show."""
    from expertgen.reporting import charts

    expert, prior, student = (record.metrics.get(name, []) for name in ("expert", "prior", "student"))
    stages = record.results.stages if record.results else {}
    drawn: dict[str, Sequence[str | None]] = {
        "learning": [charts.learning_curve(expert, x, stages) for x in ("step", "seconds")],
        "robustness": charts.robustness_charts(record.robustness) if record.robustness else [],
        "noise": [charts.noise_chart(record.noise)] if record.noise else [],
        "prior": [charts.metric_chart(prior, *metric, "prior", "updates") for metric in _PRIOR],
        "student": [charts.metric_chart(student, *metric, "student", "updates") for metric in _STUDENT],
        "health": [charts.metric_chart(expert, *metric, "expert", "simulator steps") for metric in _HEALTH],
    }
    return {section: [svg for svg in svgs if svg] for section, svgs in drawn.items()}


def _clips(clips: Sequence[Clip]) -> dict[str, dict[str, dict[str, Any]]]:
    """Stage → `"success"`, `"failure"` → what to embed."""
    shown: dict[str, dict[str, dict[str, Any]]] = {}
    for clip in clips:
        kind = "video/mp4" if clip.path.suffix == ".mp4" else "image/png"
        data = base64.b64encode(clip.path.read_bytes()).decode("ascii")
        content = {"video": kind == "video/mp4", "source": f"data:{kind};base64,{data}"}
        shown.setdefault(clip.stage, {})[_outcome(clip)] = content
    return shown


def _outcome(clip: Clip) -> str:
    return "success" if clip.success else "failure"
