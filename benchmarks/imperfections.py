"""How far each imperfection alone, at several strengths, moves the success of MetaWorld's experts.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/imperfections.py

writes benchmarks/imperfections.csv: the first episode of 64 environments, seed 0, time limit 200 control steps. Rows
that are there are kept, so that a killed run continues; delete the file to measure anew. At the end it prints the
table of docs/demos.md.
"""

import csv
import dataclasses
import sys
from pathlib import Path

from expertgen.demos.collect import collect
from expertgen.demos.imperfections import DEFAULT_IMPERFECTIONS, Imperfections
from expertgen.demos.scripted import imperfect_demonstrator, source_name
from expertgen.runs.progress import drain
from expertgen.tasks.registry import get_task, make_env

TASKS = (
    "peg-insert-side",
    "assembly",
    "stick-pull",
    "box-close",
    "shelf-place",
    "pick-place",
    "drawer-open",
    "hammer",
)
SETTINGS = (
    Imperfections(),
    DEFAULT_IMPERFECTIONS,
    *(Imperfections(calibration_error=error) for error in (0.01, 0.02, 0.04)),
    *(Imperfections(actuation_noise=noise) for noise in (0.3, 0.6)),
    *(Imperfections(actuation_noise=noise, actuation_correlation=0.95) for noise in (0.1, 0.3)),
    *(Imperfections(latency=steps) for steps in (2, 3, 4)),
    *(Imperfections(gripper_opening=probability) for probability in (0.01, 0.03, 0.1)),
    Imperfections(no_recovery=1.0),
    Imperfections(gripper_opening=0.03, no_recovery=1.0),
)
EPISODES, SEED = 64, 0


def main() -> None:
    """Measures every task at every setting that the CSV does not have yet."""
    path = Path(__file__).with_suffix(".csv")
    if not path.exists():
        names = [field.name for field in dataclasses.fields(Imperfections)]
        path.write_text(",".join(["task", *names, "success", "mean_length", "episodes", "seed"]) + "\n")
    for task in map(get_task, sys.argv[1:] or TASKS):
        for imperfections in SETTINGS:
            key = ",".join(map(str, [task.id, *dataclasses.astuple(imperfections)])) + ","
            if key in path.read_text():
                continue
            env, demonstrator = make_env(task, EPISODES), imperfect_demonstrator(task, imperfections)
            demos = drain(collect(env, demonstrator, EPISODES, SEED, source_name(task, imperfections)))
            env.close()
            length = sum(len(demo.actions) for demo in demos.demos) / EPISODES
            row = f"{key}{demos.successes / EPISODES},{length:.1f},{EPISODES},{SEED}\n"
            with path.open("a") as file:
                file.write(row)
            print(row, end="")
    print(table(path))


def table(path: Path) -> str:
    """The CSV as the Markdown table of the documentation: settings down, tasks across."""
    rows = list(csv.DictReader(path.read_text().splitlines()))
    measured = {(row["task"], _label(row)): f"{float(row['success']):.2f}" for row in rows}
    labels = [_label({name: str(value) for name, value in dataclasses.asdict(s).items()}) for s in SETTINGS]
    lines = ["| " + " | ".join(["imperfections", *TASKS]) + " |", "|---" * (len(TASKS) + 1) + "|"]
    lines += ["| " + " | ".join([label, *(measured.get((t, label), "—") for t in TASKS)]) + " |" for label in labels]
    return "\n".join(lines)


def _label(row: dict[str, str]) -> str:
    names = [field.name for field in dataclasses.fields(Imperfections) if float(row[field.name])]
    return ", ".join(f"{name} {float(row[name]):g}" for name in names) or "none"


if __name__ == "__main__":
    main()
