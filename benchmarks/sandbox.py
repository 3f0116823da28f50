"""What the sandbox costs: the same program in it and in this process, in turn; appends to sandbox.csv beside this file.

    OMP_NUM_THREADS=1 python benchmarks/sandbox.py

The program is that of docs/demos.md, the task pick-place, the time that of everything but making the simulator:
starting the sandbox, programs, simulation, recording. Processor time is that of this process and of the sandbox
together; on a busy machine it says more than wall-clock time. Both collections must be the same, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import resource
import tempfile
import time
from contextlib import closing, nullcontext
from pathlib import Path
from statistics import median

from rows import HERE, append_row

from expertgen.demos.collect import collect
from expertgen.demos.program import load_program
from expertgen.demos.sandbox.programs import SandboxedPrograms
from expertgen.runs.machine import available_cores, prepare_process
from expertgen.runs.progress import drain
from expertgen.tasks.registry import get_task, make_env

TASK, SEED, NUM_ENVS = "pick-place", 0, 64


def spent() -> float:
    """Processor seconds so far of this process and of all that it has waited for."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def measure(program: Path, sandbox: bool, episodes: int, folder: Path) -> tuple[dict[str, object], str]:
    """Collects once; returns a row and the hash of the file."""
    task, out = get_task(TASK), folder / "demos.h5"
    with closing(make_env(task, min(NUM_ENVS, episodes), threads=available_cores())) as env:
        start, start_spent = time.perf_counter(), spent()
        opened = SandboxedPrograms(program, task) if sandbox else nullcontext(load_program(program, task))
        with opened as programs:
            demos = drain(collect(env, programs, episodes, SEED, program.name))
        seconds, cpu = time.perf_counter() - start, spent() - start_spent
    demos.save(out)
    row = {
        "where": "sandbox" if sandbox else "this process",
        "task": TASK,
        "episodes": episodes,
        "control_steps": sum(len(demo.actions) for demo in demos.demos),
        "success": demos.successes / len(demos),
        "seconds": seconds,
        "cpu_seconds": cpu,
    }
    return row, hashlib.sha256(out.read_bytes()).hexdigest()


def main() -> None:
    """Measures in turn, prints and keeps the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    prepare_process()
    page = (HERE.parent / "docs" / "demos.md").read_text(encoding="utf-8")
    (text,) = (b for b in re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.M) if "class Program" in b)
    rows, hashes = [], set()
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "pick.py"
        program.write_text(text, encoding="utf-8")
        for _ in range(options.repeats):
            for sandbox in (False, True):
                row, digest = measure(program, sandbox, options.episodes, Path(name))
                append_row(HERE / "sandbox.csv", row)
                rows.append(row)
                hashes.add(digest)
                print(row, flush=True)
    if len(hashes) > 1:
        raise SystemExit("the collections differ")
    for what in ("seconds", "cpu_seconds"):
        inside, outside = (
            median(float(str(row[what])) for row in rows if row["where"] == where)
            for where in ("sandbox", "this process")
        )
        print(f"{what:12} sandbox {inside:.2f}, this process {outside:.2f}, ratio {inside / outside:.3f}")


if __name__ == "__main__":
    main()
