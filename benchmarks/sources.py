"""Three sources of demonstrations on one task, and people's on another: what prior and expert come of them.

    taskset -c 0 python benchmarks/sources.py record                  # ten episodes in a headless Chromium
    expertgen demos import adroit-door adroit_door_human.npz --out runs/sources/human.h5
    taskset -c 0 python benchmarks/sources.py run                     # everything that sources.csv lacks

On drawer-open: the shipped program that a language model wrote, the task's scripted demonstrator with its calibrated
imperfections, and recordings through the browser. Nobody sits there: a script looks at the numbers on the page and
holds keys down, so its demonstrations have the page's actions, delays and detours, but not a person's hesitation.
On adroit-door: 25 demonstrations that people gave with a glove (https://arxiv.org/abs/1709.10087). All settings are the
tasks' defaults. Rates are over 256 held-out episodes, those of demonstrations over all of them.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro
from rows import HERE, append_row, plain_refusals, rates, read_rows

from expertgen.demos.store import DemoSet
from expertgen.errors import UsageError
from expertgen.pipeline.run import run
from expertgen.pipeline.settings import EvaluationConfig, RunConfig, default_settings
from expertgen.runs.files import read_json
from expertgen.runs.machine import prepare_process
from expertgen.runs.progress import drain

TABLE = Path(__file__).with_suffix(".csv")
FOLDER = Path("runs/sources")


@dataclass(frozen=True)
class Options:
    """What to do."""

    what: tyro.conf.Positional[Literal["record", "run"]]
    """Record ten episodes in a browser, or do the runs."""
    sources: tuple[str, ...] = ("program", "scripted", "browser", "human")
    """Which sources."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the runs."""


def record(path: Path, episodes: int = 10) -> None:
    """Records successes on drawer-open through the browser, and keeps them."""
    sys.path.insert(0, str(HERE.parent))  # the tests' browser
    from tests.teleop.browser import Browser, wait_for
    from tests.teleop.person import Person
    from tests.teleop.serving import Serving

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        browser = Browser(Path(name))
        serving = Serving("--out", str(path))
        page = browser.open(serving.address)
        for i in range(episodes):
            wait_for(lambda: page.text("#headline") == "Ready")
            said = Person(page).open_drawer()
            wait_for(lambda: not page.evaluate("document.getElementById('film').hidden"))
            page.press("KeyK")
            wait_for(lambda number=i + 1: page.text("#kept") == str(number))
            print(f"episode {i}: {said}")
        serving.end()
        browser.close()
    demos = DemoSet.load(path)
    print(f"{path}: {demos.successes} of {len(demos)} succeed, {demos.steps} control steps")


def settings(source: str) -> RunConfig:
    """Settings of a run on demonstrations of a source."""
    config = default_settings("adroit-door" if source == "human" else "drawer-open")
    if source == "program":
        return replace(config, program=(Path("drawer-open/hook"),))
    if source == "scripted":
        return config
    path = FOLDER / f"{source}.h5"
    if not path.is_file():
        raise UsageError(f"{path} is missing: the text at the top of {Path(__file__).name} says how to make it")
    return replace(config, demos_file=path)


def row(source: str, seed: int) -> dict[str, object]:
    """Does one run and returns its row of the table."""
    config = replace(
        settings(source), seed=seed, until="expert", evaluation=EvaluationConfig(constant_noises=0, films=False)
    )
    folder = FOLDER / f"{source}-{seed}"
    results = drain(run(config, folder, "python benchmarks/sources.py run"))
    demos, prior, expert = (results.stages[name] for name in ("demos", "prior", "expert"))
    return {
        "task": config.task,
        "source": source,
        "seed": seed,
        "episodes": len(DemoSet.load(folder / "demos" / "demos.h5")),
        "demos": demos.success,
        **rates(prior=prior, expert=expert),
        "env_steps": expert.env_steps,
        "steer_seconds": round(expert.seconds, 1),
        "cpu": read_json(folder / "run.json")["machine"]["cpu"],
    }


def main(options: Options) -> None:
    """Records, or adds the missing rows to the table."""
    if options.what == "record":
        record(FOLDER / "browser.h5")
        return
    prepare_process()
    done = {(entry["source"], int(entry["seed"])) for entry in read_rows(TABLE)}
    for seed in options.seeds:
        for source in options.sources:
            if (source, seed) not in done:
                append_row(TABLE, row(source, seed))


if __name__ == "__main__":
    with plain_refusals():
        main(tyro.cli(Options))
