"""Model-based RL against mbrl-lib: a gradient step of the ensemble, an imagined step, an update of SAC; and weights.

    python -m venv mbrl-env && mbrl-env/bin/pip install torch==2.13.0 hydra-core gymnasium matplotlib tqdm termcolor imageio
    mbrl-env/bin/pip install --no-deps mbrl==0.2.0
    taskset -c 0 python benchmarks/mbrl_peer.py --peer mbrl-env/bin/python

The peer needs a Python of its own and runs in a process of its own (`mbrl_lib.py`), once as it comes (on one thread) and
once with the process settings that we make for ourselves. All sides are measured in turn, `turns` times; seconds are CPU
seconds. Each side draws its batches as its own trainers do. The peer has no weights: there ours stand alone, refreshed
for 100 000 transitions with a policy of 2x256. Adds its rows to `mbrl_peer.csv`: minima and medians over the turns.
"""  # noqa: E501

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import tyro
from rows import append_row

from expertgen.dynamics.ensemble import GaussianEnsemble
from expertgen.dynamics.model import ModelConfig
from expertgen.dynamics.training import ModelTrainer, ModelTrainingConfig, bootstrap_counts, draw_rows
from expertgen.dynamics.transitions import Transitions
from expertgen.mbrl.weightings import WeightingName, make_weighting
from expertgen.rl.replay import Batch
from expertgen.rl.sac_returns import ReturnSacAgent, ReturnSacConfig
from expertgen.runs.machine import fast_bfloat16, machine_description, prepare_process

TABLE = Path(__file__).with_suffix(".csv")
SIZES = {
    "observation": 17,
    "action": 6,
    "agent_observation": 11,
    "agent_action": 3,
    "rows": 20_000,
    "imagined": 100_000,
    "steps": 40,
    "updates": 100,
}
PARTS = ("ensemble step 7x4x200, batch 256", "imagine 100k rows", "SAC update 2x256, batch 256")
WEIGHTINGS: tuple[WeightingName, ...] = ("discriminator", "tom-kl", "tom-chi2")
DRAWN = 20  # batches that MBPO draws at once: those of one step in the environment


def transitions(rows: int, observation: int, action: int) -> Transitions:
    """Random ones."""
    ends = torch.zeros(rows, dtype=torch.bool)
    numbers = torch.randn(rows, observation), 2 * torch.rand(rows, action) - 1, torch.randn(rows)
    return Transitions(*numbers, torch.randn(rows, observation), ends, ends)


def model() -> tuple[float, float]:
    """CPU milliseconds of a gradient step and of an imagined step."""
    generator = torch.Generator().manual_seed(0)
    observation, action, steps = SIZES["observation"], SIZES["action"], SIZES["steps"]
    data = transitions(SIZES["rows"], observation, action)
    model = GaussianEnsemble(observation, action, ModelConfig(members=7, elites=5, width=200, depth=4))
    model.fit_normalizers(data)
    trainer = ModelTrainer(model, ModelTrainingConfig(batch_size=256), seed=0)
    cumulative = bootstrap_counts(data, 0, 7).double().cumsum(dim=1)

    def train(steps: int) -> None:
        for rows in draw_rows(cumulative, steps * 256, generator).split(256, dim=1):
            trainer.step(data[rows], torch.ones(7, 256), None, Path())

    train(10)
    start = time.process_time()
    train(steps)
    step = (time.process_time() - start) / steps
    states, actions = torch.randn(SIZES["imagined"], observation), torch.rand(SIZES["imagined"], action)
    model.predict(states, actions, generator)
    start = time.process_time()
    model.predict(states, actions, generator)
    return step * 1e3, (time.process_time() - start) * 1e3


def agent() -> float:
    """CPU milliseconds of one update, its batch included."""
    observation, action, updates = SIZES["agent_observation"], SIZES["agent_action"], SIZES["updates"]
    generator = torch.Generator().manual_seed(0)
    learner = ReturnSacAgent(observation, action, ReturnSacConfig(width=256, depth=2), generator)
    data = transitions(SIZES["rows"], observation, action)

    def batches() -> Iterator[Batch]:
        drawn = data[torch.randint(len(data), (DRAWN, 256), generator=generator)]
        discount = 0.99 * (~drawn.terminated).float()
        for columns in zip(
            drawn.observation, drawn.action, drawn.reward, drawn.next_observation, discount, strict=True
        ):
            yield Batch(*columns)

    def train(updates: int) -> None:
        for _ in range(updates // DRAWN):
            for batch in batches():
                learner.update(batch)

    train(DRAWN)
    start = time.process_time()
    train(updates)
    return (time.process_time() - start) / updates * 1e3


def weights(name: WeightingName) -> float:
    """CPU milliseconds of a refresh of 100 000 weights."""
    observation, action = SIZES["observation"], SIZES["action"]
    generator = torch.Generator().manual_seed(0)
    data = transitions(100_000, observation, action)
    weighting = make_weighting(name, GaussianEnsemble(observation, action, ModelConfig()), generator)
    policy = ReturnSacAgent(observation, action, ReturnSacConfig(width=256, depth=2), generator).policy
    start = time.process_time()
    weighting.fit(data, policy, data.observation[::1000])
    return (time.process_time() - start) * 1e3


def theirs(peer: Path, settings: str) -> list[float]:
    """The parts by the peer, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src"), "OMP_NUM_THREADS": "1"}
    command = [str(peer), str(Path(__file__).with_name("mbrl_lib.py")), settings, json.dumps(SIZES)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(peer: Path, turns: int = 5) -> None:
    """Measures both and adds rows to the table.

    Args:
        peer: the Python that has mbrl-lib.
        turns: turns of each side.
    """
    prepare_process()
    sides = {
        "ours": lambda: [*model(), agent()],
        "mbrl-lib": lambda: theirs(peer, "default"),
        "mbrl-lib with our process settings": lambda: theirs(peer, "prepared"),
        "": lambda: [weights(name) for name in WEIGHTINGS],
    }
    taken: dict[str, list[list[float]]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, measure in sides.items():
            taken[name].append(measure())
            print(name or "weights", [f"{x:.1f} ms" for x in taken[name][-1]], flush=True)
    ours, alone = np.array(taken.pop("ours")), np.array(taken.pop(""))
    for index, what in enumerate(PARTS):
        for name, figures in taken.items():
            write(what, turns, ours[:, index], name, np.array(figures)[:, index])
    for index, name in enumerate(WEIGHTINGS):
        write(f"refresh 100k weights, {name}", turns, alone[:, index])


def write(what: str, turns: int, ours: np.ndarray, peer: str = "", theirs: np.ndarray | None = None) -> None:
    """Adds one row."""
    row: dict[str, object] = {"what": what, "peer": peer, "turns": turns}
    for name, of in (("min", np.min), ("median", np.median)):
        mine, other = float(of(ours)), None if theirs is None else float(of(theirs))
        row |= {f"ours_{name}_ms": mine, f"theirs_{name}_ms": other, f"ratio_{name}": other and other / mine}
    products = "with" if fast_bfloat16(torch.device("cpu")) else "without"
    append_row(TABLE, row | {"cpu": f"{machine_description()['cpu']} {products} bfloat16"})
    print(row)


if __name__ == "__main__":
    tyro.cli(main)
