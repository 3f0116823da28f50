"""What the suite runner costs: processor time of everything but the members' own work, as a share of that work.

    python benchmarks/suite_overhead.py                # members of a minute
    python benchmarks/suite_overhead.py --seconds 10

Members count for so many seconds of processor time, writing progress and a curve ten times a second. All processes are
counted: the one that starts them, the server they fork from, and the members. What is paid once for a suite (imports)
is told apart from what is paid for every member, by suites with one member and with several.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import tempfile
import time
from multiprocessing import forkserver
from pathlib import Path

from rich.console import Console

from expertgen.runs.progress import StageProgress
from expertgen.suite import kinds
from expertgen.suite.display import watch
from expertgen.suite.kinds import Kind
from expertgen.suite.plan import suite_from
from expertgen.suite.runner import check_workers, run_suite
from expertgen.suite.table import Point


def resolve(settings):
    """There is nothing to fill in."""
    return settings


def run(settings, folder, common):
    """Counts for `seconds` of processor time."""
    start, reported = time.process_time(), 0.0
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "curve.jsonl").open("w") as curve:
        while (now := time.process_time() - start) < settings["seconds"]:
            if now - reported > 0.1:
                reported = now
                curve.write(json.dumps(now) + "\n")
                yield StageProgress("count", int(now), int(settings["seconds"]), "s", {"seconds": now})
    (folder / "work.json").write_text(json.dumps(time.process_time() - start))


def read(settings, folder):
    """The curve that was written on the way."""
    rows = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    points = [
        Point("curve", i + 1, second, "success", second / settings["seconds"], None) for i, second in enumerate(rows)
    ]
    return [*points, Point("final", len(rows), rows[-1], "success", 1.0, None)]


def spent() -> float:
    """Processor seconds so far of this process and of all that it has waited for."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def measure(members: int, seconds: float, workers: int) -> tuple[float, float]:
    """Runs a suite. Returns the processor seconds of the members' work, and of all the rest."""
    method = {"kind": "count", "settings": {"seconds": seconds}}
    suite = suite_from(
        {"name": "count", "tasks": ["count"], "methods": {"m": method}, "seeds": list(range(members))}, ""
    )
    with tempfile.TemporaryDirectory() as folder:
        before = spent()
        watch(run_suite(suite, Path(folder), workers, ""), suite, Console(force_terminal=True, quiet=True), workers)
        forkserver._forkserver._stop()  # waited for, its time and that of its children are counted
        work = sum(json.loads(path.read_text()) for path in Path(folder).rglob("work.json"))
    return work, spent() - before - work


def main() -> None:
    """Measures and writes one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="processor seconds of a member")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    kinds.KINDS["count"] = Kind(resolve, run, read)
    workers = check_workers(None)
    _, once = measure(1, 0.5, workers)
    work, rest = measure(options.members, options.seconds, workers)
    each = (rest - once) / (options.members - 1)
    row = {
        "members": options.members,
        "workers": workers,
        "seconds_of_a_member": options.seconds,
        "work_seconds": round(work, 2),
        "overhead_seconds": round(rest, 2),
        "of_it_once": round(once - each, 2),
        "of_it_each_member": round(each, 3),
        "overhead_percent": round(100 * rest / work, 2),
        "overhead_percent_many_members": round(100 * each / options.seconds, 2),
    }
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    for name, value in row.items():
        print(f"{name:32}{value}")


if __name__ == "__main__":
    main()
