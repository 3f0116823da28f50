"""Success of the shipped demonstration programs, in episodes that they were not written with.

    OMP_NUM_THREADS=1 python benchmarks/programs.py [TASK ...]

writes benchmarks/programs.csv: 128 episodes of every program, seed 1 (they were tried with seed 0 while they were
written), in the sandbox. Rows that are there are kept, so that a killed run continues; delete the file to measure anew.
Beside them stands what happens without any action (`TASK/idle`): episodes that begin solved are no merit of a program.
At the end it prints the table of docs/programs.md. How each was written is in benchmarks/programs/: `round` is the
version that was kept, `rounds` how many were asked for.
"""

import json
import sys
import tempfile
from pathlib import Path

from rows import HERE, append_row, read_rows

from expertgen.demos.library import shipped_programs
from expertgen.demos.writing.answers import summary_of
from expertgen.demos.writing.record import round_folder
from expertgen.pipeline.trials import try_program
from expertgen.tasks.registry import get_task

CSV = HERE / "programs.csv"
RECORDS = HERE / "programs"
EPISODES, SEED = 128, 1
IDLE = """
class Program:
    def reset(self, seed): pass
    def act(self, observation): return [0.0] * {size}
"""


def main() -> None:
    """Measures every shipped program that the CSV does not have yet."""
    done = {row["program"] for row in read_rows(CSV)}
    folder = Path(tempfile.mkdtemp())
    names = {path.parent.name: None for path in shipped_programs().values()}
    for name, path in {**shipped_programs(), **{f"{task}/idle": folder / "idle.py" for task in names}}.items():
        task = get_task(name.partition("/")[0])
        if name in done or (sys.argv[1:] and task.id not in sys.argv[1:]):
            continue
        if path.parent == folder:
            path.write_text(IDLE.format(size=task.action_size))
        trial = try_program(path, task, EPISODES, SEED)
        row = {
            "program": name,
            "simulator": task.simulator,
            "successes": trial.successes,
            "episodes": EPISODES,
            "success": trial.success,
            "low": trial.low,
            "high": trial.high,
            "steps_to_success": trial.steps_to_success,
            "could_not_go_on": sum(trial.failures.values()),
            **({"round": "", "rounds": ""} if path.parent == folder else written(path)),
            "seed": SEED,
        }
        append_row(CSV, row)
        print(row, flush=True)
    print(table())


def written(path: Path) -> dict[str, int]:
    """How a program was written: which version it is, and of how many."""
    folder = RECORDS / path.parent.name
    versions = json.loads((folder / "trials.json").read_text())["versions"]
    for version in versions:
        record = round_folder(folder, version["program"], version["round"]) / "program.py"
        if version["kept"] and record.read_bytes() == path.read_bytes():
            return {"round": version["round"], "rounds": sum(v["program"] == version["program"] for v in versions)}
    raise SystemExit(f"{path} is not what was kept in {folder}")


def table() -> str:
    """The CSV as the Markdown table of the documentation."""
    lines = [
        "| program | success | 95% | without action | steps | round | what it does |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = {row["program"]: row for row in read_rows(CSV)}
    for name, row in sorted(rows.items()):
        if name.endswith("/idle"):
            continue
        idle = rows.get(f"{name.partition('/')[0]}/idle")
        floor = f"{float(idle['success']):.1%}" if idle else "—"
        interval = f"{float(row['low']):.1%} to {float(row['high']):.1%}"
        what = summary_of(shipped_programs()[row["program"]].read_text("utf-8"))
        rounds = f"{row['round']} of {row['rounds']}"
        numbers = (
            f"{float(row['success']):.1%} | {interval} | {floor} | {float(row['steps_to_success']):.0f} | {rounds}"
        )
        lines.append(f"| `{row['program']}` | {numbers} | {what} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
