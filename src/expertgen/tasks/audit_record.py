"""Which MetaWorld tasks EnvPool simulates soundly: the record of an audit, shipped with the package."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from math import comb
from pathlib import Path

from expertgen.runs.machine import package_versions

START_TOLERANCE = 0.02
"""How far outside of MetaWorld's range a start may lie [m, or 1 for quaternions] before it counts as an error."""

SIGNIFICANCE = 0.001
"""Level of the test on the expert's success: with 150 tests, one false alarm in seven audits."""

_FILE = "audit.json"


@dataclass(frozen=True)
class TaskAudit:
    """What the scripted expert did in both simulators.

    Attributes:
        task: name of the task.
        episodes: number of episodes behind each success count.
        envpool_success: successes in the first, second, ... episode of the environments of EnvPool.
        metaworld_success: the same in Python MetaWorld.
        start_error: how far the starts of EnvPool lie outside of the range of MetaWorld's own, in the worst column of
            the observation after one idle control step [m, or 1 for quaternions].
        expert_steps: control steps within which nine of ten successful experts finish in Python MetaWorld.
    """

    task: str
    episodes: int
    envpool_success: tuple[int, ...]
    metaworld_success: tuple[int, ...]
    start_error: float
    expert_steps: int

    @property
    def defects(self) -> tuple[str, ...]:
        """What is wrong with the task in EnvPool, one phrase each; empty if it is sound.

        The rule: a start outside of MetaWorld's range by more than `START_TOLERANCE`, or, in the first, second, ...
        episodes, fewer successes than the reference's successes over all its episodes allow (Fisher's exact test,
        one-sided, `SIGNIFICANCE`).
        """
        found = []
        if self.start_error > START_TOLERANCE:
            found.append(f"its starts are off by {self.start_error:.2f}")
        reference, total = sum(self.metaworld_success), self.episodes * len(self.metaworld_success)
        if any(fisher_less(count, self.episodes, reference, total) < SIGNIFICANCE for count in self.envpool_success):
            counts = ", ".join(str(count) for count in self.envpool_success)
            found.append(
                f"of {self.episodes} first, second, ... episodes the scripted expert succeeds in {counts} "
                f"(Python MetaWorld: {reference} of {total})"
            )
        return tuple(found)

    @property
    def sound(self) -> bool:
        """Whether EnvPool may be used for the task."""
        return not self.defects


@dataclass(frozen=True)
class AuditRecord:
    """The audits of all tasks and the versions that they hold for.

    Attributes:
        versions: name and version of each simulator package.
        tasks: by task name.
    """

    versions: dict[str, str]
    tasks: dict[str, TaskAudit]

    def save(self, path: Path) -> None:
        """Writes the record as JSON, one task per line."""
        lines = [f"    {json.dumps(name)}: {json.dumps(_plain(audit))}" for name, audit in self.tasks.items()]
        body = ",\n".join(lines)
        path.write_text(f'{{\n  "versions": {json.dumps(self.versions)},\n  "tasks": {{\n{body}\n  }}\n}}\n')


def fisher_less(successes: int, trials: int, reference_successes: int, reference_trials: int) -> float:
    """Fisher's exact test, one-sided: the chance of at most `successes` if both simulators were the same.

    Args:
        successes: successes of the simulator under test.
        trials: its trials.
        reference_successes: successes of the reference.
        reference_trials: its trials.

    Returns:
        the p-value, `P(X <= successes)` for hypergeometric `X`.
    """
    total, good = trials + reference_trials, successes + reference_successes
    possible = range(max(0, good - reference_trials), successes + 1)
    return sum(comb(good, k) * comb(total - good, trials - k) for k in possible) / comb(total, trials)


@cache
def shipped_record() -> AuditRecord:
    """Returns the record that comes with this version of the package."""
    text = resources.files("expertgen.tasks").joinpath(_FILE).read_text()
    data = json.loads(text)
    tasks = {
        name: TaskAudit(
            name,
            row["episodes"],
            tuple(row["envpool_success"]),
            tuple(row["metaworld_success"]),
            row["start_error"],
            row["expert_steps"],
        )
        for name, row in data["tasks"].items()
    }
    return AuditRecord(data["versions"], tasks)


def versions_changed() -> dict[str, str]:
    """Returns the installed versions of those simulators of the shipped record that have another one here."""
    audited = shipped_record().versions
    return {name: now for name, now in package_versions().items() if audited.get(name, now) != now}


def _plain(audit: TaskAudit) -> dict[str, object]:
    row = asdict(audit)
    del row["task"]
    return row
