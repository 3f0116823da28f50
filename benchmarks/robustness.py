"""What the policies of a suite and the task's own script bear: all are disturbed alike.

    expertgen suite assembly
    expertgen suite benchmarks/forced.yaml
    taskset -c 0 python benchmarks/robustness.py suites/assembly suites/forced

Every policy plays the same 256 held-out episodes, undisturbed and disturbed. `lost` and `gained` count the episodes
that only the undisturbed, or only the disturbed one won. The script is MetaWorld's own expert without
imperfections, the demonstrator at its best.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rows import HERE, append_row, plain_refusals, read_rows

from expertgen.demos.collect import collect
from expertgen.demos.imperfections import Imperfections
from expertgen.demos.scripted import imperfect_demonstrator, source_name
from expertgen.evaluation.perturbations import perturb, read_perturbations
from expertgen.evaluation.robustness import UNDISTURBED, Robustness, Trial
from expertgen.evaluation.seeds import EVALUATION_SEED
from expertgen.pipeline.robustness import measure_robustness
from expertgen.runs.machine import prepare_process
from expertgen.runs.progress import drain
from expertgen.suite.plan import Member
from expertgen.suite.runner import member_folder, read_standings, read_suite
from expertgen.tasks.registry import get_task, make_env
from expertgen.tasks.spec import TaskSpec

TABLE = HERE / "robustness.csv"
EPISODES, ENVS = 256, 64


@dataclass(frozen=True)
class Options:
    """Which policies, and what happens to them."""

    suites: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of suites, which need not be finished."""
    tasks: tuple[str, ...] = ("peg-insert-side", "stick-pull", "assembly")
    """Task ids."""
    methods: tuple[str, ...] = ("steer", "residual", "rlpd", "steer-forced", "steer-forced-demos", "rlpd-forced")
    """Methods; the prior is that of the first one."""
    perturbations: tuple[str, ...] = (
        *("gripper_open=10", "actuation_noise=0.3", "latency=2", "observation_noise=0.005", "random_start=16"),
    )
    """What disturbs them."""


def measure(member: Member, run: Path, options: Options) -> None:
    """Disturbs the policies of a run, and adds a row to the table for each trial."""
    policies = ("prior", "expert") if member.method == options.methods[0] else ("expert",)
    found = drain(measure_robustness(run, EPISODES, options.perturbations, policies))
    for trial in (trial for trial in found.trials if trial.policy in policies):
        method = "prior" if trial.policy == "prior" else member.method
        append_row(TABLE, {"task": member.task, "method": method, "seed": member.seed} | row(found, trial))


def measure_script(task: TaskSpec, options: Options) -> None:
    """Disturbs the flawless demonstrator of a task, and adds a row to the table for each trial."""
    script, source = imperfect_demonstrator(task, Imperfections()), source_name(task, Imperfections())
    found = Robustness(task.id, EPISODES, ENVS, EVALUATION_SEED)
    for name, strength in [(UNDISTURBED, 0.0), *read_perturbations(task, options.perturbations)]:
        with closing(make_env(task, ENVS)) as env:
            world = env if name == UNDISTURBED else perturb(env, name, strength)
            demos = drain(collect(world, script, EPISODES, EVALUATION_SEED, source))
        outcomes = "".join(str(int(demo.success)) for demo in demos.demos)
        found = found.with_trial(Trial("script", name, strength, outcomes))
    for trial in found.trials:
        append_row(TABLE, {"task": task.id, "method": "script", "seed": 0} | row(found, trial))


def row(found: Robustness, trial: Trial) -> dict[str, object]:
    """What a trial came to, beside the undisturbed one."""
    calm = found.find(trial.policy, UNDISTURBED, 0.0)
    assert calm is not None, "it is always played first"
    pairs = list(zip(calm.outcomes, trial.outcomes, strict=True))
    return {
        "perturbation": trial.perturbation,
        "strength": trial.strength,
        "success": trial.success.value,
        "low": trial.success.low,
        "high": trial.success.high,
        "lost": pairs.count(("1", "0")),
        "gained": pairs.count(("0", "1")),
        "episodes": len(pairs),
    }


def main(options: Options) -> None:
    """Adds the missing rows to the table."""
    prepare_process()
    done = {(row["task"], row["method"], int(row["seed"])) for row in read_rows(TABLE)}
    for task in options.tasks:
        if (task, "script", 0) not in done:
            measure_script(get_task(task), options)
    for folder in options.suites:
        for standing in read_standings(folder, read_suite(folder)).values():
            member = standing.member
            wanted = member.task in options.tasks and member.method in options.methods and standing.state == "done"
            if wanted and (member.task, member.method, member.seed) not in done:
                measure(member, member_folder(folder, member) / "run", options)


if __name__ == "__main__":
    with plain_refusals():
        main(tyro.cli(Options))
