"""A folder of a run of model-based RL, made up in a moment. `python -m tests.reporting.mbrl_fixture FOLDER` writes one
to look at."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

from expertgen.dynamics.weighting.interface import AGES
from expertgen.mbrl.run import default_settings
from expertgen.runs.config import plain
from expertgen.runs.files import write_json

COMMAND = "expertgen mbrl hopper --weighting recency --mbpo.env-steps 20000"


def make_mbrl_run(folder: Path, epochs: int = 15, finished: bool = True, weighting: str = "recency") -> Path:
    """Writes a run that got as far as `epochs` of 15 and returns its folder."""
    config = default_settings("hopper")
    config = replace(config, weighting=weighting, seed=4, mbpo=replace(config.mbpo, env_steps=20_000))
    machine = {"cores": 2, "cpu": "AMD EPYC", "platform": "Linux-6.1-x86_64"}
    about = {"task": "hopper", "seed": 4, "command": COMMAND, "machine": machine}
    write_json(folder / "run.json", about | {"versions": {"python": "3.11.9", "torch": "2.13.0"}})
    write_json(folder / "config.json", plain(config))
    rows = [row for epoch in range(epochs) for row in _epoch(epoch, weighting)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if finished:
        last = {"return": 2871.25, "return_deviation": 12.5, "episodes": 32, "env_steps": 20_000, "updates": 300_000}
        write_json(folder / "results.json", last | {"seconds": 4000.0, "peak_memory_mb": 512.0})
    return folder


def _epoch(epoch: int, weighting: str) -> list[dict[str, float]]:
    rows = []
    for refresh in range(4):
        step = 5_000 + 1_000 * epoch + 250 * (refresh + 1)
        share = (step - 5_000) / 15_000
        slope = 0.0 if weighting == "uniform" else share
        ages = {f"weights_age_{age + 1}": 1 + slope * (AGES - 1 - 2 * age) / (AGES - 1) for age in range(AGES)}
        errors = {"error_newest": 0.1 * math.exp(-3 * share), "error_buffer": 0.02, "error_newest_5_steps": 2 - share}
        row = {"step": step, "seconds": step / 5, "updates": 20 * (step - 5_000), "q": 150 * share, "td_error": 1.5}
        row |= {"entropy": 0.5 - share, "temperature": 0.02, "critic_loss": 0.01, "actor_loss": -share}
        row |= {"model_holdout_before": 0.02, "model_holdout": 0.01, "rollout_length": 1 + epoch, "imagined": 20_000}
        row |= {"weights_effective_sample_size": 1 - slope / 2, "weights_largest": 1 + slope, "weights_raw_mean": 1.0}
        rows.append(row | ages | {"weights_zeros": 0.0} | (errors if epoch or refresh else {}))
    evaluation = {"return": 2800 * (epoch + 1) / 15, "return_deviation": 30.0, "episode_steps": 900.0}
    return [*rows, {key: rows[-1][key] for key in ("step", "seconds", "updates")} | evaluation]


if __name__ == "__main__":
    from expertgen.reporting.mbrl import write_mbrl_report

    print(write_mbrl_report(make_mbrl_run(Path(sys.argv[1]))))
