"""What MetaWorld's scripted experts reach without any imperfection, within our time limits.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/clean.py [TASK ...]

writes benchmarks/clean.csv: 256 episodes a task, from the starts on which policies are measured. Rows that are there
are kept, so that a killed run continues; delete the file to measure anew.
"""

import sys
from contextlib import closing

from rows import HERE, append_row, rates, read_rows

from expertgen.demos.collect import collect
from expertgen.demos.imperfections import Imperfections
from expertgen.demos.scripted import imperfect_demonstrator, source_name
from expertgen.evaluation.evaluate import demo_episodes, summarize
from expertgen.evaluation.seeds import EVALUATION_SEED
from expertgen.runs.machine import prepare_process
from expertgen.runs.progress import drain
from expertgen.suite.plan import find_suite
from expertgen.tasks.registry import get_task, make_env

CSV = HERE / "clean.csv"
EPISODES, ENVS = 256, 64


def main() -> None:
    """Measures every task that the CSV does not have yet."""
    prepare_process()
    done = {row["task"] for row in read_rows(CSV)}
    for task in map(get_task, sys.argv[1:] or find_suite("mt50").tasks):
        if task.id in done:
            continue
        demonstrator = imperfect_demonstrator(task, Imperfections())
        with closing(make_env(task, ENVS)) as env:
            demos = drain(collect(env, demonstrator, EPISODES, EVALUATION_SEED, source_name(task, Imperfections())))
        clean = summarize(demo_episodes(demos), EVALUATION_SEED, 0.0, task)
        steps = clean.steps_to_success
        append_row(CSV, {"task": task.id, "simulator": task.simulator, **rates(clean=clean), "steps_to_success": steps})


if __name__ == "__main__":
    main()
