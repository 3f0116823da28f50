"""Audits all fifty MetaWorld tasks and writes audit.csv beside this file and the record that the package ships.

OMP_NUM_THREADS=1 python benchmarks/audit.py        # about 10 minutes on one core
"""

from __future__ import annotations

import csv
from pathlib import Path

from rich.console import Console

import expertgen.tasks
from expertgen.runs.progress import follow
from expertgen.tasks.audit import audit_tasks
from expertgen.tasks.metaworld_specs import metaworld_tasks

COLUMNS = (
    *("task", "verdict", "episodes", "envpool_1", "envpool_2", "envpool_3"),
    *("metaworld_1", "metaworld_2", "metaworld_3", "start_error", "expert_steps", "defects"),
)


def main() -> None:
    """Runs the audit and writes both files."""
    record = follow(audit_tasks(metaworld_tasks()), Console())
    record.save(Path(expertgen.tasks.__file__).with_name("audit.json"))
    with Path(__file__).with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, audit in record.tasks.items():
            verdict = "sound" if audit.sound else "unsound"
            counts = (*audit.envpool_success, *audit.metaworld_success)
            defects = "; ".join(audit.defects)
            writer.writerow([name, verdict, audit.episodes, *counts, audit.start_error, audit.expert_steps, defects])


if __name__ == "__main__":
    main()
