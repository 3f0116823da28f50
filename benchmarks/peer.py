"""Ours against the stack that steering is published on: Stable-Baselines3's SAC, and diffusers' scheduler.

    taskset -c 0 python benchmarks/peer.py update      # one gradient step, equal sizes
    taskset -c 0 python benchmarks/peer.py decode      # one batch of chunks, the same network
    taskset -c 0 python benchmarks/peer.py steering --run runs/peg-insert-side-0     # seconds to 80% success

Seconds are CPU seconds of one process, which are wall seconds on a core of its own, so that a machine that does other
things, too, favours neither side. Each part measures both sides in turn and adds its rows to `peer.csv`.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal, TypeVar

import gymnasium
import numpy as np
import torch
import tyro
from diffusers import DDIMScheduler
from rows import append_row
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

from expertgen.prior.prior import DiffusionPrior, PriorConfig
from expertgen.rl.replay import Batch
from expertgen.rl.sac import SacAgent, SacConfig
from expertgen.runs.machine import prepare_process
from expertgen.steering.steer import SteerConfig, steer
from expertgen.tasks.chunks import execute_chunk
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task

TABLE = Path(__file__).with_suffix(".csv")
OBSERVATION, NOISE = 39, 32
Result = TypeVar("Result")


class Silent(gymnasium.Env):
    """An environment of the right shapes in which nothing happens, to time updates alone."""

    observation_space = gymnasium.spaces.Box(-8, 8, (OBSERVATION,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (NOISE,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Returns noise."""
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Returns noise."""
        return self.observation_space.sample(), 0.0, False, False, {}


def elsewhere(work: Callable[..., Result], *arguments: object) -> Result:
    """Runs the peer in a fresh process, which none of our settings touch."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """CPU time of one call [ms], after a warm-up."""
    for _ in range(10):
        work()
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats * 1e3


def peer_update(prepared: bool, turns: int = 40) -> float:
    """SB3's time for one gradient step [ms], as it comes or with the process settings that we make for ourselves."""
    if prepared:
        prepare_process()
    model = SAC("MlpPolicy", Silent(), learning_starts=0, batch_size=256, buffer_size=5000, device="cpu")
    model.set_logger(configure(None, []))
    model.learn(300)
    return milliseconds(lambda: model.train(1, 256), turns)


def update() -> list[dict]:
    """One gradient step of SAC, 2 hidden layers of 256, batch 256; median of five turns each."""
    agent = SacAgent(OBSERVATION, NOISE, SacConfig(width=256, depth=2), torch.Generator().manual_seed(0))
    batch = Batch(
        torch.randn(256, OBSERVATION),
        torch.rand(256, NOISE) * 2 - 1,
        torch.zeros(256),
        torch.randn(256, OBSERVATION),
        torch.full((256,), 0.9),
    )
    ours, default, prepared = [], [], []
    for _ in range(5):
        default.append(elsewhere(peer_update, False))
        prepared.append(elsewhere(peer_update, True))
        ours.append(milliseconds(lambda: agent.update(batch), 40))
    peers = {"sb3": np.median(default), "sb3 with our process settings": np.median(prepared)}
    return compared("update", "ms", np.median(ours), peers)


def decode() -> list[dict]:
    """64 chunks with 5 DDIM steps, by our sampler and by diffusers' scheduler around the same network."""
    prior = DiffusionPrior("peg-insert-side", PriorConfig(), OBSERVATION, 4)
    scheduler = DDIMScheduler(
        num_train_timesteps=20,
        beta_schedule="squaredcos_cap_v2",
        clip_sample=True,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(5)
    observation, noise = torch.randn(64, OBSERVATION), torch.randn(64, *prior.noise_shape)

    @torch.inference_mode()
    def peer() -> torch.Tensor:
        x, seen = noise, prior.normalizer(observation)
        for t in scheduler.timesteps:
            predicted = prior.network(seen, x, t.expand(64))
            x = scheduler.step(predicted, t, x, eta=0.0, use_clipped_model_output=True).prev_sample
        return x

    assert torch.allclose(peer(), prior.decode(observation, noise), atol=1e-4)
    ours, theirs = [], []
    for _ in range(5):
        ours.append(milliseconds(lambda: prior.decode(observation, noise), 100))
        theirs.append(milliseconds(peer, 100))
    return compared("decode", "ms", np.median(ours), {"diffusers": np.median(theirs)})


class NoiseEnv(gymnasium.Env):
    """The noise decision process as a Gymnasium environment over Python MetaWorld, as the peer's stack has it."""

    def __init__(self, task: str, prior: DiffusionPrior, seed: int) -> None:
        self.env = MetaWorldEnv(get_task(task), 1)
        self.prior = prior
        self.observation, _ = self.env.reset(seed=seed)
        horizon, action_size = prior.noise_shape
        self.observation_space = gymnasium.spaces.Box(-8, 8, (prior.observation_size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.5, 1.5, (horizon * action_size,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Starts an episode."""
        self.observation, _ = self.env.reset(options={"reset_mask": np.ones(1, bool)})
        return self._seen(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Decodes noise and runs the chunk; reward is -1 for every decision without success."""
        noise = torch.as_tensor(action).view(1, *self.prior.noise_shape)
        chunk = self.prior.decode(torch.as_tensor(self.observation), noise).numpy()
        outcome = execute_chunk(self.env, chunk, ended=np.zeros(1, bool))
        self.observation = outcome.next_observation
        success = bool(outcome.success[0])
        info = {"is_success": success}
        return self._seen(), float(success) - 1.0, bool(outcome.terminated[0]), bool(outcome.truncated[0]), info

    def _seen(self) -> np.ndarray:
        return self.prior.normalize(torch.as_tensor(self.observation))[0].numpy()


class Watch(BaseCallback):
    """Stops the peer when the last 100 episodes reach the target, or when its time is up."""

    def __init__(self, target: float, limit: float) -> None:
        super().__init__()
        self.target, self.limit, self.start = target, limit, time.process_time()
        self.recent: deque[bool] = deque(maxlen=100)
        self.best = 0.0

    @property
    def seconds(self) -> float:
        """CPU seconds so far."""
        return time.process_time() - self.start

    @property
    def reached(self) -> bool:
        """Whether the target is reached."""
        return len(self.recent) == 100 and bool(np.mean(self.recent) >= self.target)

    def _on_step(self) -> bool:
        for done, info in zip(self.locals["dones"], self.locals["infos"], strict=True):
            if done:
                self.recent.append(info["is_success"])
        if len(self.recent) == 100:
            self.best = max(self.best, float(np.mean(self.recent)))
        return not self.reached and self.seconds < self.limit


def steering(run: Path, target: float, factors: tuple[float, float]) -> list[dict]:
    """CPU seconds until the last training episodes (ours: 128, theirs: 100) reach the target, from the same prior.

    The peer uses the published settings of DSRL's SAC for robomimic (4 environments, 20 gradient steps a vector step,
    bound 1.5, target entropy 0, reward -1 until success, a random warm-up of 1500 vector steps), once with its networks
    (3 × 2048) and once with ours.
    """
    prior = DiffusionPrior.load(run / "prior" / "prior.safetensors")
    with TemporaryDirectory() as folder:
        ours = our_seconds(prior, target, Path(folder))
    peers = {}
    for (name, width), factor in zip((("sb3 3x2048", 2048), ("sb3 3x128", 128)), factors, strict=True):
        seconds, best = elsewhere(peer_seconds, run, width, target, factor * ours)
        peers[name if best >= target else f"{name} (stopped, best {best:.0%})"] = seconds
    return compared(f"{prior.task} to {target:.0%}", "s", ours, peers)


def peer_seconds(run: Path, width: int, target: float, limit: float) -> tuple[float, float]:
    """CPU seconds that the peer needs to the target, `limit` at most; and the best success of 100 episodes in a row."""
    prior = DiffusionPrior.load(run / "prior" / "prior.safetensors")
    model = SAC(
        "MlpPolicy",
        DummyVecEnv([lambda seed=seed: NoiseEnv(prior.task, prior, seed) for seed in range(4)]),
        learning_rate=3e-4,
        batch_size=256,
        tau=0.005,
        gamma=0.99,
        learning_starts=1500 * 4,
        train_freq=1,
        gradient_steps=20,
        target_entropy=0.0,
        policy_kwargs={"net_arch": [width] * 3},
        seed=0,
        device="cpu",
    )
    model.set_logger(configure(None, []))
    watch = Watch(target, limit)
    model.learn(10**9, callback=watch)
    return watch.seconds, watch.best


def our_seconds(prior: DiffusionPrior, target: float, folder: Path) -> float:
    """CPU seconds that our steering needs; the time of its validations included."""
    recent = 0.0
    start = time.process_time()
    config = dataclasses.replace(SteerConfig(), stop_at=2.0)
    for progress in steer(get_task(prior.task), prior, config, 0, folder):
        if progress.stage == "steer" and progress.done > config.warmup_env_steps:  # by then all have ended an episode
            recent = progress.metrics["success"]
        if recent >= target:
            return time.process_time() - start
    raise SystemExit("our own steering did not reach the target")


def compared(what: str, unit: str, ours: float, peers: dict[str, float]) -> list[dict]:
    """Rows of the table: the peer's figure over ours."""
    return [
        {
            "what": what,
            "unit": unit,
            "ours": f"{ours:.4g}",
            "peer": name,
            "theirs": f"{theirs:.4g}",
            "ratio": f"{theirs / ours:.2f}",
        }
        for name, theirs in peers.items()
    ]


def main(
    part: Annotated[Literal["update", "decode", "steering"], tyro.conf.Positional],
    run: Path = Path("runs/peg-insert-side-0"),
    target: float = 0.8,
    factors: tuple[float, float] = (10.0, 3.0),
) -> None:
    """Measures one part.

    Args:
        part: what to measure.
        run: run folder whose prior is steered.
        target: success to reach.
        factors: give the peer this many times our time, with its networks and with ours.
    """
    prepare_process()
    rows = {"update": update, "decode": decode, "steering": lambda: steering(run, target, factors)}[part]()
    for row in rows:
        append_row(TABLE, row)


if __name__ == "__main__":
    tyro.cli(main)
