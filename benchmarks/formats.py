"""Importing and exporting demonstrations: seconds and peak memory for each format, each in a process of its own.

    python benchmarks/formats.py                       # one million control steps of a MetaWorld task
    python benchmarks/formats.py --steps 100000 --formats npz minari

The demonstrations are made up: episodes of 250 control steps with the fields of peg-insert-side (39 columns, 4
actions). Exporting reads our own file and writes the other; importing reads that and writes ours. robomimic's own
recordings hold float64 and no checksums: `robomimic-float64` is such a file. Peak memory is the process's largest
resident set. Beside the seconds on the clock stand those of the processor, which do not count waiting for others.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from rows import HERE, append_row

from expertgen.demos.exchange import FORMATS, export_demos, import_demos
from expertgen.demos.store import Demo, DemoSet, fields_of
from expertgen.tasks.registry import get_task

TASK = get_task("peg-insert-side")
LENGTH = 250


def made_up(steps: int) -> DemoSet:
    """Random walks of the right shape."""
    random, demos = np.random.default_rng(0), []
    for i in range(steps // LENGTH):
        observations = random.normal(size=(LENGTH, TASK.observation_size)).astype(np.float32)
        actions = random.uniform(-1, 1, (LENGTH, TASK.action_size)).astype(np.float32)
        demos.append(Demo(observations, actions, np.zeros(LENGTH, np.float32), i % 3 > 0, 0, "made up"))
    return DemoSet(TASK.id, fields_of(TASK), tuple(demos))


def in_float64(path: Path, out: Path) -> None:
    """Copies a robomimic file as robomimic's own tools record: float64, no checksums."""
    with h5py.File(path) as file, h5py.File(out, "w") as copy:
        for name, demo in file["data"].items():
            group = copy.create_group(f"data/{name}")
            group.attrs["num_samples"] = demo.attrs["num_samples"]
            for key in ("actions", "rewards", *(f"obs/{field}" for field in demo["obs"])):
                group[key] = demo[key][()].astype(np.float64)


def place(folder: Path, name: str) -> Path:
    """Where the demonstrations of a format are."""
    return folder / f"{name}{FORMATS[name].suffix if name in FORMATS else '.hdf5'}"


def work(action: str, name: str, folder: Path) -> None:
    """What a child process does."""
    if action == "export":
        export_demos(DemoSet.load(folder / "ours.h5"), TASK, place(folder, name), name)
    else:
        import_demos(place(folder, name), TASK).save(folder / f"{name}-back.h5")


def measured(action: str, name: str, folder: Path) -> list[float]:
    """Seconds, processor seconds (both without starting Python) and peak memory [MB] of a child process."""
    words = [sys.executable, __file__, "--child", action, name, str(folder)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return [float(value) for value in said[-3:]]


def main() -> None:
    """Measures and appends rows to the CSV."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--child", nargs=3)
    options = parser.parse_args()
    if options.child:
        start, processor = time.perf_counter(), time.process_time()
        work(options.child[0], options.child[1], Path(options.child[2]))
        seconds = time.perf_counter() - start, time.process_time() - processor
        print(*seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made_up(options.steps).save(folder / "ours.h5")
        jobs = [(action, name) for name in options.formats for action in ("export", "import")]
        if "robomimic" in options.formats:
            jobs.insert(jobs.index(("import", "robomimic")) + 1, ("import", "robomimic-float64"))
        for action, name in jobs:
            if name not in FORMATS:
                in_float64(place(folder, "robomimic"), place(folder, name))
            seconds, processor, megabytes = measured(action, name, folder)
            size = sum(file.stat().st_size for file in (place(folder, name), *place(folder, name).rglob("*")))
            row = {"steps": options.steps, "format": name, "action": action, "seconds": seconds}
            row |= {"processor_seconds": processor, "peak_mb": round(megabytes), "file_mb": round(size / 1e6)}
            append_row(HERE / "formats.csv", row)
            print(row, flush=True)


if __name__ == "__main__":
    main()
