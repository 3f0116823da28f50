"""Our world model against mbrl-lib's: one gradient step of the ensemble, and one imagined step of many rows.

    python -m venv mbrl-env && mbrl-env/bin/pip install torch==2.13.0 hydra-core gymnasium matplotlib tqdm termcolor imageio
    mbrl-env/bin/pip install --no-deps mbrl==0.2.0
    taskset -c 0 python benchmarks/dynamics_peer.py --peer mbrl-env/bin/python

The peer needs a Python of its own and runs in a process of its own, once as it comes (on one thread) and once with the
process settings that we make for ourselves. All sides are measured in turn, `turns` times; seconds are CPU seconds.
Both draw their batches from 20 000 transitions of 17 + 6 numbers as their trainers do. Adds its rows to
`dynamics_peer.csv`: minima and medians.
"""  # noqa: E501

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
import tyro
from rows import append_row

from expertgen.dynamics.ensemble import GaussianEnsemble
from expertgen.dynamics.model import ModelConfig
from expertgen.dynamics.training import ModelTrainer, ModelTrainingConfig, bootstrap_counts, draw_rows
from expertgen.dynamics.transitions import Transitions
from expertgen.runs.machine import machine_description, prepare_process

TABLE = Path(__file__).with_suffix(".csv")
OBSERVATION, ACTION, ROWS, IMAGINED, STEPS = 17, 6, 20_000, 100_000, 40

PEER = f"""
import json, sys, time
import numpy as np, torch
torch.set_num_threads(1)
if sys.argv[1] == "prepared":
    from expertgen.runs.machine import prepare_process
    prepare_process()
from mbrl.models import GaussianMLP, OneDTransitionRewardModel
from mbrl.types import TransitionBatch
from mbrl.util.replay_buffer import BootstrapIterator

D, A, n, imagined, steps = {OBSERVATION}, {ACTION}, {ROWS}, {IMAGINED}, {STEPS}
rng = np.random.default_rng(0)
x = lambda *shape: rng.normal(size=shape).astype(np.float32)
data = TransitionBatch(x(n, D), x(n, A), x(n, D), x(n), np.zeros(n, bool), np.zeros(n, bool))
network = GaussianMLP(D + A, D + 1, device="cpu", num_layers=4, ensemble_size=7, hid_size=200,
                      activation_fn_cfg={{"_target_": "torch.nn.SiLU"}}, propagation_method="random_model")
model = OneDTransitionRewardModel(network, target_is_delta=True, normalize=True, learned_rewards=True)
model.update_normalizer(data)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
model.train()
batches = iter(BootstrapIterator(data, 256, 7, shuffle_each_epoch=True, permute_indices=False, rng=rng))

def step():
    model.update(next(batches), optimizer)

for _ in range(10):
    step()
start = time.process_time()
for _ in range(steps):
    step()
update = (time.process_time() - start) / steps

model.eval()
model.set_elite(range(5))
generator = torch.Generator().manual_seed(0)
observation, action = torch.randn(imagined, D), torch.rand(imagined, A)

def imagine():
    with torch.no_grad():
        model.sample(action, model.reset(observation, rng=generator), rng=generator)

imagine()
start = time.process_time()
imagine()
print(json.dumps([update, time.process_time() - start]))
"""


def ours() -> tuple[float, float]:
    """Seconds of a gradient step and of an imagined step."""
    generator = torch.Generator().manual_seed(0)
    data = Transitions(
        torch.randn(ROWS, OBSERVATION),
        torch.rand(ROWS, ACTION),
        torch.randn(ROWS),
        torch.randn(ROWS, OBSERVATION),
        torch.zeros(ROWS, dtype=torch.bool),
        torch.zeros(ROWS, dtype=torch.bool),
    )
    model = GaussianEnsemble(OBSERVATION, ACTION, ModelConfig(members=7, elites=5, width=200, depth=4))
    model.fit_normalizers(data)
    trainer = ModelTrainer(model, ModelTrainingConfig(batch_size=256), seed=0)
    cumulative = bootstrap_counts(data, 0, 7).double().cumsum(dim=1)

    def train(steps: int) -> None:
        for rows in draw_rows(cumulative, steps * 256, generator).split(256, dim=1):
            trainer.step(data[rows], torch.ones(7, 256), None, Path())

    train(10)
    start = time.process_time()
    train(STEPS)
    update = (time.process_time() - start) / STEPS
    observation, action = torch.randn(IMAGINED, OBSERVATION), torch.rand(IMAGINED, ACTION)
    model.predict(observation, action, generator)
    start = time.process_time()
    model.predict(observation, action, generator)
    return update, time.process_time() - start


def theirs(peer: Path, settings: str) -> tuple[float, float]:
    """The same by the peer, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src"), "OMP_NUM_THREADS": "1"}
    command = [str(peer), "-c", PEER, settings]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    update, imagined = json.loads(done.stdout.splitlines()[-1])
    return update, imagined


def main(peer: Path, turns: int = 5) -> None:
    """Measures both and adds rows to the table.

    Args:
        peer: the Python that has mbrl-lib.
        turns: turns of each side.
    """
    prepare_process()
    sides = {
        "ours": ours,
        "mbrl-lib": lambda: theirs(peer, "default"),
        "mbrl-lib with our process settings": lambda: theirs(peer, "prepared"),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, measure in sides.items():
            seconds[name].append(measure())
            print(name, [f"{x * 1e3:.1f} ms" for x in seconds[name][-1]], flush=True)
    for index, what in enumerate(("step 7x4x200, batch 256", "imagine 100k rows")):
        figures = {name: np.array([turn[index] for turn in rows]) * 1e3 for name, rows in seconds.items()}
        for name in list(sides)[1:]:
            row = {"what": what, "peer": name, "turns": turns}
            for statistic, of in (("min", np.min), ("median", np.median)):
                mine, other = float(of(figures["ours"])), float(of(figures[name]))
                row |= {
                    f"ours_{statistic}_ms": mine,
                    f"theirs_{statistic}_ms": other,
                    f"ratio_{statistic}": other / mine,
                }
            append_row(TABLE, row | {"cpu": machine_description()["cpu"]})
            print(row)


if __name__ == "__main__":
    tyro.cli(main)
