"""Steering a frozen prior to expertise (ExpertGen's second stage; DSRL, https://arxiv.org/abs/2506.15799).

The agent's action is the initial noise w of the prior's sampler, its reward is success alone:

    observation s ──► agent ──► noise w ──► prior G(s, w) ──► chunk [H, A] ──► simulator, H steps ──► s', success?

The loop is `rl/loop.py`, the noise `steering/noise.py`, and the algorithms are in `rl/`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from expertgen.demos.store import DemoSet
from expertgen.errors import UsageError
from expertgen.prior.prior import DiffusionPrior
from expertgen.rl.demonstrations import demo_decisions, replay_of
from expertgen.rl.fast_td3 import FastTd3Config
from expertgen.rl.learner import Learner, Mode
from expertgen.rl.loop import LoopConfig, learn
from expertgen.rl.networks import Actor
from expertgen.rl.ppo import PpoConfig
from expertgen.rl.replay import Replay
from expertgen.rl.sac import SacConfig
from expertgen.runs.progress import StageProgress
from expertgen.runs.ranges import Count, Natural, Positive
from expertgen.runs.seeding import seeded_weights
from expertgen.steering.algorithms import AgentConfig, Algorithm, best_of, make_agent
from expertgen.steering.aliasing import AliasingConfig
from expertgen.steering.expert import Expert
from expertgen.steering.inversion import invert
from expertgen.steering.noise import NoiseController, NoiseSpace
from expertgen.tasks.spec import TaskSpec


@dataclass(frozen=True)
class SteerConfig(LoopConfig):
    """How the prior is steered."""

    noise_bound: Positive = 1.5
    """b: noise is chosen within [-b, b]."""
    noise_rank: Natural = 0
    """Slow courses that the noise over a chunk is made of: 1 is one noise for all steps. 0: each step has its own."""
    noise_around_prior: bool = False
    """Add what is chosen to N(0, I) noise: the prior's behaviour, and the bound is how far it can be left."""
    algorithm: Algorithm = "sac"
    """Who chooses the noise."""
    best_of: Count = 1
    """Also validate a mode that draws so many noises and takes the one that the critics value most; 1: do not."""
    sac: SacConfig = field(default_factory=SacConfig)
    """Soft actor-critic."""
    fast_td3: FastTd3Config = field(default_factory=FastTd3Config)
    """FastTD3."""
    aliasing: AliasingConfig = field(default_factory=AliasingConfig)
    """Noise aliasing."""
    ppo: PpoConfig = field(default_factory=PpoConfig)
    """Proximal policy optimization."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.best_of > 1 and self.algorithm in ("fast-td3", "ppo"):
            why = "draws no noises" if self.algorithm == "fast-td3" else "has no critics of noises"
            raise UsageError(f"steer.best_of does not fit steer.algorithm {self.algorithm}, which {why}; leave it at 1")
        if self.noise_around_prior and self.algorithm == "aliasing":
            raise UsageError("steer.noise_around_prior does not fit steer.algorithm aliasing; choose another algorithm")
        if self.demo_share and self.algorithm == "ppo":
            raise UsageError("steer.demo_share does not fit steer.algorithm ppo, which learns from its own decisions")
        if self.demo_share and self.noise_around_prior:
            raise UsageError("steer.demo_share does not fit steer.noise_around_prior; choose one of them")

    def check_noise(self, noise_shape: tuple[int, int]) -> None:
        """Refuses noises that a prior, whose noise is `(H, A)`, does not have, or that make no demonstration."""
        self.noise_space.action_size(noise_shape)
        if self.demo_share and 0 < self.noise_rank < noise_shape[0] and self.algorithm != "aliasing":
            raise UsageError(
                f"steer.demo_share does not fit steer.noise_rank {self.noise_rank}: so few noises make no chunk of a "
                "demonstration; set one of them to 0, or choose steer.algorithm aliasing"
            )

    @property
    def noise_space(self) -> NoiseSpace:
        """Which noises can be chosen."""
        return NoiseSpace(self.noise_bound, self.noise_rank, self.noise_around_prior)

    @property
    def agent(self) -> AgentConfig:
        """Options of the algorithm that is used."""
        options = {"sac": self.sac, "fast-td3": self.fast_td3, "aliasing": self.aliasing, "ppo": self.ppo}
        return options[self.algorithm]


def steer(
    task: TaskSpec,
    prior: DiffusionPrior,
    config: SteerConfig,
    seed: int,
    folder: Path,
    device: str = "cpu",
    tensorboard: bool = False,
    demos: DemoSet | None = None,
) -> Generator[StageProgress, None, Expert]:
    """Steers a prior and saves the best validated expert to `folder/expert.safetensors`.

    Args:
        task: the task; its own simulator is used.
        prior: the frozen prior; it is moved to the device.
        config: options.
        seed: the run's seed.
        folder: the stage's folder; until the end it holds `state.safetensors` and the best expert so far.
        device: torch device.
        tensorboard: also write TensorBoard event files.
        demos: the demonstrations, where `config.demo_share` wants them.

    Yields:
        progress with the recent success in training and the best validated success.

    Raises:
        TrainingError: if a loss is not finite; the batch is dumped to `folder/bad_batch.safetensors`.
        UsageError: if demonstrations are wanted and none is given, or none succeeds.
    """
    result, state_path = folder / "expert.safetensors", folder / "state.safetensors"
    if not result.exists():
        config.check_noise(prior.noise_shape)
        learner = _learner(prior.to(device), config, seed, device)
        if config.demo_share:
            learner = replace(learner, demos=_demo_replay(prior, config, demos, device))
        yield from learn(task, learner, config, seed, folder, "steer", device, tensorboard)
        (folder / "best.safetensors").replace(result)
    state_path.unlink(missing_ok=True)
    return Expert.load(result).to(device)


def _learner(prior: DiffusionPrior, config: SteerConfig, seed: int, device: str) -> Learner:
    """The chosen algorithm on the prior's noise."""

    def controller(generator: torch.Generator) -> NoiseController:
        return NoiseController(prior, config.noise_space, generator, device)

    def solution(actor: Actor, mode: Mode) -> Expert:
        if mode == "best":
            actor = best_of(agent, actor, config.best_of)
        return Expert(prior, actor, config.agent, config.noise_space, mode, validated=0.0)

    with seeded_weights(seed, "steer", "weights"):
        agent = make_agent(config.agent, prior, config.noise_space, torch.Generator(device))
    options = config.agent.sac if isinstance(config.agent, AliasingConfig) else config.agent
    modes: tuple[Mode, ...] = ("mean",) if isinstance(options, FastTd3Config) else ("mean", "sampled")
    return Learner(
        agent,
        options.discount,
        n_step=1 if isinstance(options, PpoConfig) else options.n_step,
        rounds=options.rounds if isinstance(options, PpoConfig) else 0,
        controller=controller,
        modes=(*modes, "best") if config.best_of > 1 else modes,
        solution=solution,
        remembers_chunks=isinstance(config.agent, AliasingConfig),
    )


def _demo_replay(prior: DiffusionPrior, config: SteerConfig, demos: DemoSet | None, device: str) -> Replay:
    """Demonstrations that succeeded as experience: chunks for noise aliasing, otherwise the noise behind them."""
    if demos is None:
        raise UsageError("steer.demo_share needs demonstrations; give some, or set it to 0")
    decisions = demo_decisions(demos, prior.noise_shape[0])
    seen, chunk = prior.normalize(decisions.observation.to(device)), decisions.chunk.to(device)
    if config.algorithm == "aliasing":
        action = chunk.flatten(1)
    else:
        action, _ = invert(prior, config.noise_space, seen, chunk)
    return replay_of(seen, action, decisions.last)
