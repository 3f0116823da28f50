"""The whole job as a user does it: wall time, memory, and what each stage achieved.

    python benchmarks/whole.py                     # expertgen run peg-insert-side
    python benchmarks/whole.py --preset debug      # every part in little time; nothing gets good

Each run is a process of its own in a temporary folder, on all cores that this script may use (`taskset` gives it
fewer), and adds a row to whole.csv. Memory is the largest sum over the run and all its processes, looked at four times
a second; what processes share is counted by its share in each (proportional set size, Linux only).
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import tyro
from rows import append_row

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


def family(root: int) -> list[int]:
    """A process and all its descendants."""
    found, ahead = [], [root]
    while ahead:
        found.append(process := ahead.pop())
        with suppress(OSError):
            for thread in Path(f"/proc/{process}/task").iterdir():
                ahead += map(int, (thread / "children").read_text().split())
    return found


def memory_mb(process: int) -> float:
    """Proportional set size of one process [MB]; 0 if it has just ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000
    return 0.0


def main(options: Options) -> None:
    """Does one run and adds its row to the table."""
    words = ["run", options.task, "--preset", options.preset, "--seed", str(options.seed)]
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        start, peak = time.monotonic(), 0.0
        job = subprocess.Popen([sys.executable, "-c", COMMAND, *words, "--out", str(folder)])
        while job.poll() is None:
            peak = max(peak, sum(map(memory_mb, family(job.pid))))
            time.sleep(0.25)
        seconds = time.monotonic() - start
        if job.returncode:
            sys.exit(f"expertgen {' '.join(words)} failed")
        results = Results.load(folder / "results.json")
    stages = {name: results.stages[name].success if name in results.stages else "" for name in (*STAGES, *CONTROLS)}
    about = {"task": options.task, "preset": options.preset, "seed": options.seed}
    cost = {"seconds": round(seconds, 1), "memory_mb": round(peak), "largest_process_mb": round(results.peak_memory_mb)}
    machine = {"cores": available_cores(), "cpu": machine_description()["cpu"]}
    append_row(TABLE, about | cost | stages | machine)


if __name__ == "__main__":
    main(tyro.cli(Options))
