"""The whole job as a user does it: wall time, memory, and what each stage achieved.

    python benchmarks/whole.py                     # expertgen run peg-insert-side
    python benchmarks/whole.py --preset debug      # every part in little time; nothing gets good

Each run is a process of its own, on all cores that this script may use (`taskset` gives it fewer), and adds a row to
whole.csv.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import tyro
from rows import append_row, plain_refusals

from expertgen.evaluation.results import CONTROLS, STAGES, Results
from expertgen.runs.machine import available_cores, machine_description

TABLE = Path(__file__).with_suffix(".csv")
COMMAND = "import sys; from expertgen.cli import main; sys.exit(main())"


@dataclass(frozen=True)
class Options:
    """Which run."""

    preset: str = "default"
    """Preset: default or debug."""
    task: str = "peg-insert-side"
    """Task id."""
    seed: int = 0
    """Seed of the run."""
    out: Path | None = None
    """Run folder to keep; by default a temporary one."""


def main(options: Options) -> None:
    """Does one run and adds its row to the table."""
    words = ["run", options.task, "--preset", options.preset, "--seed", str(options.seed)]
    with TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary) / "run"
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", COMMAND, *words, "--out", str(folder)], check=True)
        seconds = time.monotonic() - start
        results = Results.load(folder / "results.json")
    stages = {name: results.stages[name].success if name in results.stages else "" for name in (*STAGES, *CONTROLS)}
    about = {"task": options.task, "preset": options.preset, "seed": options.seed}
    cost = {"seconds": round(seconds, 1), "memory_mb": round(results.peak_memory_mb)}
    machine = {"cores": available_cores(), "cpu": machine_description()["cpu"]}
    append_row(TABLE, about | cost | stages | machine)


if __name__ == "__main__":
    with plain_refusals():
        main(tyro.cli(Options))
