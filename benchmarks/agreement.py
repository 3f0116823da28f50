"""Compares the transitions of EnvPool and Python MetaWorld on all fifty tasks; writes agreement.csv beside this file.

OMP_NUM_THREADS=1 python benchmarks/agreement.py        # about 3 minutes on one core
"""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path

from expertgen.tasks.agreement import compare_simulators
from expertgen.tasks.metaworld_specs import metaworld_tasks


def main() -> None:
    """Runs the comparison and writes the file."""
    with Path(__file__).with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(
            file, ("task", "start", "first_step", "last_step", "reward", "episodes"), lineterminator="\n"
        )
        writer.writeheader()
        for task in metaworld_tasks():
            row = asdict(compare_simulators(task))
            writer.writerow({key: f"{value:.1e}" if isinstance(value, float) else value for key, value in row.items()})
            file.flush()
            print(row, flush=True)


if __name__ == "__main__":
    main()
