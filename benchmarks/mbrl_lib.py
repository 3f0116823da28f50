"""The peer's side of `mbrl_peer.py`, run by the Python that has mbrl-lib: CPU milliseconds of each part, as JSON.

    python mbrl_lib.py default|prepared '{"observation": 17, ...}'

`prepared` makes the process settings that we make for ourselves. Data are drawn as its trainers draw them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import gymnasium
import numpy as np
import torch
from mbrl.models import GaussianMLP, OneDTransitionRewardModel
from mbrl.third_party.pytorch_sac_pranz24 import SAC
from mbrl.types import TransitionBatch
from mbrl.util import ReplayBuffer
from mbrl.util.replay_buffer import BootstrapIterator

RNG = np.random.default_rng(0)


def milliseconds(work: Callable[[], object], warm: int, repeats: int) -> float:
    """CPU time of one call [ms], after a warm-up."""
    for _ in range(warm):
        work()
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats * 1e3


def transitions(rows: int, observation: int, action: int) -> tuple[np.ndarray, ...]:
    """Observation, action, next observation, reward, terminated, truncated."""
    x, u, after, reward = (
        RNG.normal(size=(rows, *shape)).astype(np.float32) for shape in ((observation,), (action,), (observation,), ())
    )
    return x, u, after, reward, np.zeros(rows, bool), np.zeros(rows, bool)


def model(sizes: dict[str, int]) -> tuple[float, float]:
    """One gradient step of the ensemble; one imagined step of many rows, each by one member."""
    observation, action, rows = sizes["observation"], sizes["action"], sizes["imagined"]
    data = TransitionBatch(*transitions(sizes["rows"], observation, action))
    network = GaussianMLP(
        observation + action,
        observation + 1,
        device="cpu",
        num_layers=4,
        ensemble_size=7,
        hid_size=200,
        activation_fn_cfg={"_target_": "torch.nn.SiLU"},
        propagation_method="random_model",
    )
    wrapper = OneDTransitionRewardModel(network, target_is_delta=True, normalize=True, learned_rewards=True)
    wrapper.update_normalizer(data)
    optimizer = torch.optim.Adam(wrapper.parameters(), lr=1e-3, weight_decay=1e-5)
    wrapper.train()
    batches = iter(BootstrapIterator(data, 256, 7, shuffle_each_epoch=True, permute_indices=False, rng=RNG))
    step = milliseconds(lambda: wrapper.update(next(batches), optimizer), 10, sizes["steps"])

    wrapper.eval()
    wrapper.set_elite(range(5))
    generator = torch.Generator().manual_seed(0)
    states, actions = torch.randn(rows, observation), torch.rand(rows, action)

    @torch.no_grad()
    def imagine() -> None:
        wrapper.sample(actions, wrapper.reset(states, rng=generator), rng=generator)

    return step, milliseconds(imagine, 1, 1)


def agent(sizes: dict[str, int]) -> float:
    """One update, its batch from the replay included; temperature learned, target critic moved each time."""
    observation, action, rows = sizes["agent_observation"], sizes["agent_action"], sizes["rows"]
    options = SimpleNamespace(
        gamma=0.99,
        tau=0.005,
        alpha=0.2,
        policy="Gaussian",
        target_update_interval=1,
        automatic_entropy_tuning=True,
        target_entropy=None,
        hidden_size=256,
        device=torch.device("cpu"),
        lr=3e-4,
    )
    learner = SAC(observation, gymnasium.spaces.Box(-1, 1, (action,), np.float32), options)
    memory = ReplayBuffer(rows, (observation,), (action,), rng=RNG)
    memory.add_batch(*transitions(rows, observation, action))
    return milliseconds(lambda: learner.update_parameters(memory, 256, 1, reverse_mask=True), 10, sizes["updates"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "prepared":
        from expertgen.runs.machine import prepare_process

        prepare_process()
    sizes = json.loads(sys.argv[2])
    print(json.dumps([*model(sizes), agent(sizes)]))
