"""How far each imperfection alone, at several strengths, moves the success of MetaWorld's experts.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/imperfections.py

writes benchmarks/imperfections.csv: 64 episodes of the first reset each, seed 0, time limit 200 control steps.
"""

import csv
import dataclasses
import sys
from pathlib import Path

from expertgen.demos.collect import collect
from expertgen.demos.imperfections import DEFAULT_IMPERFECTIONS, Imperfections
from expertgen.demos.scripted import SOURCE, imperfect_demonstrator
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
    """Measures every task at every setting."""
    names = [field.name for field in dataclasses.fields(Imperfections)]
    with Path(__file__).with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", *names, "success", "mean_length", "episodes", "seed"])
        for task in map(get_task, sys.argv[1:] or TASKS):
            for imperfections in SETTINGS:
                env = make_env(task, EPISODES)
                make_program = imperfect_demonstrator(task, imperfections)
                demos = drain(collect(env, make_program, EPISODES, SEED, SOURCE))
                env.close()
                length = sum(len(demo.actions) for demo in demos.demos) / EPISODES
                strengths = dataclasses.astuple(imperfections)
                row = [task.id, *strengths, demos.successes / EPISODES, f"{length:.1f}", EPISODES, SEED]
                writer.writerow(row)
                file.flush()
                print(*row)


if __name__ == "__main__":
    main()
