"""Which priors can be steered: what can be measured before RL, against what RL makes of it.

    expertgen suite benchmarks/steerability.yaml
    expertgen suite assembly --methods steer
    taskset -c 0 python benchmarks/steerability.py suites/steerability suites/assembly

Priors differ in task, in what was wrong with the demonstrator, and in the number of demonstrations. All else is the
default. Success is over 256 held-out episodes; coverage is measured on others. A prior that the probe refuses cannot be
steered: it has no row here, and is a failed run of the suite.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rows import HERE, append_row, plain_refusals, read_rows

from expertgen.evaluation.comparison import area_under_curve
from expertgen.evaluation.results import Results
from expertgen.evaluation.rollouts import run_episodes
from expertgen.prior.prior import DiffusionPrior, PriorPolicy
from expertgen.runs.files import read_json
from expertgen.runs.machine import available_cores, prepare_process
from expertgen.runs.progress import drain
from expertgen.runs.seeding import torch_generator
from expertgen.suite.plan import Member
from expertgen.suite.runner import Standing, member_folder, read_standings, read_suite
from expertgen.tasks.registry import get_task, make_env

TABLE = HERE / "steerability.csv"
IDENTITY = ("task", "kind", "demonstrations", "chunk_length", "seed")
COVERAGE_SEED, COVERAGE_STARTS, COVERAGE_DRAWS = 777, 64, 8


@dataclass(frozen=True)
class Options:
    """Which runs."""

    suites: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of suites, which need not be finished. Of methods, `steer` and KIND-NUMBER are read."""


def coverage(task: str, prior: DiffusionPrior) -> float:
    """Share of starts from which at least one of eight episodes under N(0, I) noise succeeds."""
    won = np.zeros(COVERAGE_STARTS, bool)
    for draw in range(COVERAGE_DRAWS):
        policy = PriorPolicy(prior, torch_generator(COVERAGE_SEED, "coverage", draw))
        with closing(make_env(get_task(task), COVERAGE_STARTS, threads=available_cores())) as env:
            for episode in drain(run_episodes(env, policy, COVERAGE_STARTS, COVERAGE_SEED, "coverage")):
                won[episode.env] |= episode.success
    return float(won.mean())


def prior_of(member: Member) -> dict[str, object]:
    """What tells priors apart."""
    kind, settings = member.method.rpartition("-")[0] or "default", member.settings
    count, length = settings["demos"]["episodes"], settings["prior"]["chunk_length"]
    return {"task": member.task, "kind": kind, "demonstrations": count, "chunk_length": length, "seed": member.seed}


def row(standing: Standing, run: Path) -> dict[str, object]:
    """What was measured of a prior, and what steering made of it."""
    member = standing.member
    stages, measured = Results.load(run / "results.json").stages, read_json(run / "prior" / "steerability.json")
    curve = np.array([(p.env_steps, p.value) for p in standing.points if p.point == "curve"], float)
    budget = member.settings["steer"]["env_steps"]
    return prior_of(member) | {
        "demos": stages["demos"].success,
        "prior": measured["success_normal"],
        "zero_noise": measured["success_zero"],
        "best_constant": measured.get("success_best_constant"),  # unless the suite leaves it out
        "chunk_spread": measured["chunk_spread"],
        "coverage": coverage(member.task, DiffusionPrior.load(run / "prior" / "prior.safetensors")),
        "expert": stages["expert"].success,
        "expert_low": stages["expert"].low,
        "expert_high": stages["expert"].high,
        "area": area_under_curve(curve[:, 0], curve[:, 1], 0.0, budget),
        "env_steps": stages["expert"].env_steps,
    }


def main(options: Options) -> None:
    """Adds the missing rows to the table."""
    prepare_process()
    done = {tuple(row[name] for name in IDENTITY) for row in read_rows(TABLE)}
    for folder in options.suites:
        for standing in read_standings(folder, read_suite(folder)).values():
            member = standing.member
            wanted = standing.state == "done" and (member.method == "steer" or member.method[-1].isdigit())
            if wanted and tuple(map(str, prior_of(member).values())) not in done:
                append_row(TABLE, row(standing, member_folder(folder, member) / "run"))


if __name__ == "__main__":
    with plain_refusals():
        main(tyro.cli(Options))
