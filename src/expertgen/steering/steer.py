"""Steering a frozen prior to expertise (ExpertGen's second stage; DSRL, https://arxiv.org/abs/2506.15799).

The agent's action is the initial noise w of the prior's sampler, its reward is success alone. The loop:

    warm up with w ~ N(0, I), clipped to the bound           the prior's own behaviour fills the replay
    repeat
        choose noise for all environments with the raw actor
        simulate that decision        (on one core)
        update the agent              (on the other core, from the replay as it was before the decision)
        wait for both                 (a fixed point: the same seed gives the same bits on one core or two)

A run consists of segments. Each begins from seeded resets with random streams of its own, and ends with an atomic save
of everything. Before that, once training episodes succeed often enough, the averaged actor is validated in both modes
on validation seeds; the best of all validations becomes the expert. A run that was killed continues at the last segment
and ends with the same bits.
"""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from expertgen.errors import TrainingError, UsageError
from expertgen.evaluation.rollouts import run_episodes
from expertgen.prior.prior import DiffusionPrior
from expertgen.rl.replay import Batch, Replay
from expertgen.rl.sac import SacAgent, SacConfig
from expertgen.runs.checkpoint import load_checkpoint, save_checkpoint, with_prefix, without_prefix
from expertgen.runs.machine import available_cores, prepare_process
from expertgen.runs.metrics import MetricsWriter
from expertgen.runs.progress import StageProgress
from expertgen.runs.seeding import derive_seed, seeded_weights, torch_generator
from expertgen.steering.expert import Expert, ExpertPolicy, Mode
from expertgen.steering.process import NoiseProcess
from expertgen.tasks.chunks import ChunkOutcome
from expertgen.tasks.registry import make_env
from expertgen.tasks.spec import TaskSpec

VALIDATION_SEED = 555
"""Environment seed on which checkpoint and mode are chosen: the same for all runs, used for nothing else."""


@dataclass(frozen=True)
class SteerConfig:
    """How the prior is steered."""

    num_envs: int = 64
    """Environments simulated side by side."""
    env_steps: int = 280_000
    """Control steps of training at most."""
    segment_env_steps: int = 40_000
    """Control steps between two saved states (and validations)."""
    warmup_env_steps: int = 16_000
    """Control steps under N(0, I) noise before learning starts."""
    noise_bound: float = 1.5
    """b: noise is chosen within [-b, b]."""
    updates_per_decision: float = 0.25
    """Gradient steps for every decision of every environment."""
    batch_size: int = 256
    """Transitions a gradient step."""
    success_share: float = 0.3
    """Share of every batch drawn from successful episodes."""
    success_minimum: int = 200
    """Transitions of successful episodes there must be before they get that share."""
    validate_from: float = 0.75
    """Success of recent training episodes from which a segment ends with a validation; the last one always does."""
    validation_episodes: int = 128
    """Episodes of a validation, in each mode."""
    stop_at: float = 0.99
    """Stop early at this success on the validation seeds; above 1 never."""
    agent: SacConfig = field(default_factory=SacConfig)
    """The agent."""

    def __post_init__(self) -> None:
        for name in (
            "num_envs",
            "env_steps",
            "segment_env_steps",
            "warmup_env_steps",
            "batch_size",
            "success_minimum",
            "validation_episodes",
        ):
            if getattr(self, name) < 1:
                raise UsageError(f"steer.{name} must be at least 1, not {getattr(self, name)}")
        for name in ("noise_bound", "updates_per_decision"):
            if not getattr(self, name) > 0:
                raise UsageError(f"steer.{name} must be positive, not {getattr(self, name)}")
        if self.warmup_env_steps >= self.env_steps:
            raise UsageError(
                f"steer.warmup_env_steps ({self.warmup_env_steps}) must be less than steer.env_steps "
                f"({self.env_steps}), or nothing is ever learnt"
            )
        if not 0 <= self.success_share < 1:
            raise UsageError(f"steer.success_share must lie in [0, 1), not {self.success_share}")
        if self.updates_per_round < 1:
            raise UsageError(
                f"steer.updates_per_decision ({self.updates_per_decision}) is less than one update a round of "
                f"{self.num_envs} environments; raise it, or steer.num_envs"
            )

    @property
    def updates_per_round(self) -> int:
        """Gradient steps while all environments run one decision."""
        return round(self.updates_per_decision * self.num_envs)

    def learning_rate_at(self, env_steps: int) -> float:
        """The agent's rate: constant for the first half of the budget, then falling linearly to a tenth."""
        left = 1 - env_steps / self.env_steps
        return self.agent.learning_rate * max(0.1, min(1.0, 2 * left))


def steer(
    task: TaskSpec,
    prior: DiffusionPrior,
    config: SteerConfig,
    seed: int,
    folder: Path,
    device: str = "cpu",
    tensorboard: bool = False,
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

    Yields:
        progress with the success of the last 128 training episodes and the best validated success.

    Raises:
        TrainingError: if a loss is not finite; the batch is dumped to `folder/bad_batch.safetensors`.
    """
    result, state_path = folder / "expert.safetensors", folder / "state.safetensors"
    if result.exists():
        state_path.unlink(missing_ok=True)
        return Expert.load(result).to(device)
    run = _Run(task, prior.to(device), config, seed, folder, device)
    writer = MetricsWriter(folder, keep_rows=run.rows, tensorboard=tensorboard)
    while not run.finished:
        for row in run.segment():
            writer.write(row)
            shown = {"success": row["success"], "validated": run.best_success}
            yield StageProgress("steer", min(run.env_steps, config.env_steps), config.env_steps, "env steps", shown)
        if run.finished or run.recent_success >= config.validate_from:
            writer.write((yield from run.validate()))
        run.save(writer.rows)
    (folder / "best.safetensors").replace(result)
    state_path.unlink()
    return Expert.load(result).to(device)


class _Run:
    """One steering run between its saved states."""

    def __init__(
        self, task: TaskSpec, prior: DiffusionPrior, config: SteerConfig, seed: int, folder: Path, device: str
    ) -> None:
        self.task, self.prior, self.config = task, prior, config
        self.seed, self.folder, self.device = seed, folder, device
        horizon, action_size = prior.noise_shape
        noise_size = horizon * action_size
        with seeded_weights(seed, "steer", "weights"):
            self.agent = SacAgent(prior.observation_size, noise_size, config.agent, torch.Generator(device))
        # A decision runs at least one step; the shortest useful ring holds a whole run of full chunks.
        rounds = 2 * config.env_steps // (config.num_envs * horizon) + 2
        self.replay = Replay(rounds, config.num_envs, prior.observation_size, noise_size, device)
        self.segments = self.env_steps = self.updates = self.rows = 0
        self.seconds = 0.0
        self.best_success = 0.0
        self.solved = False
        self.recent: deque[bool] = deque(maxlen=128)
        if (folder / "state.safetensors").exists():
            self._load()

    @property
    def finished(self) -> bool:
        """The budget is spent, or the expert passed its validation."""
        return self.env_steps >= self.config.env_steps or self.solved

    @property
    def recent_success(self) -> float:
        """Success of the last training episodes; it leans high where successes are short."""
        return float(np.mean(self.recent)) if self.recent else 0.0

    def segment(self) -> Generator[dict[str, Any], None, None]:
        """Collects and learns until the next validation is due; yields rows of metrics."""
        config, agent = self.config, self.agent
        agent.generator.manual_seed(derive_seed(self.seed, "steer", "agent", self.segments))
        draw = torch_generator(self.seed, "steer", "replay", self.segments)
        env = make_env(self.task, config.num_envs, threads=available_cores())
        process = NoiseProcess(env, self.prior, self.device)
        process.reset(derive_seed(self.seed, "steer", "envs", self.segments))
        end = min((self.segments + 1) * config.segment_env_steps, config.env_steps)
        start, rounds, sums, learned = time.monotonic() - self.seconds, 0, {}, 0
        with closing(env), ThreadPoolExecutor(1, initializer=prepare_process) as simulator:
            while self.env_steps < end:
                observation = self.prior.normalize(torch.as_tensor(process.observation, device=self.device))
                action = self._explore(observation)
                simulation = simulator.submit(process.step, self._noise(action))
                if available_cores() == 1:
                    wait([simulation])  # taking turns keeps the caches warm; the bits are the same
                if self.env_steps >= config.warmup_env_steps:
                    for _ in range(config.updates_per_round):
                        health = self._update(self._batch(draw))
                        sums = {name: sums.get(name, 0.0) + value for name, value in health.items()}
                        learned += 1
                outcome = simulation.result().outcome
                self._remember(observation, action, outcome)
                rounds += 1
                if rounds % 10 == 0 or self.env_steps >= end:
                    self.seconds = time.monotonic() - start
                    self.updates += learned
                    yield self._row(action, {name: float(value) / learned for name, value in sums.items()})
                    sums, learned = {}, 0
        self.replay.cut()
        self.segments += 1

    def validate(self) -> Generator[StageProgress, None, dict[str, Any]]:
        """Plays the validation episodes in both modes; the best so far, of all checkpoints and modes, is the expert."""
        config, start = self.config, time.monotonic()
        row: dict[str, Any] = {"step": self.env_steps}
        env = make_env(self.task, min(config.num_envs, config.validation_episodes), threads=available_cores())
        with closing(env):
            for mode in get_args(Mode):
                actor = copy.deepcopy(self.agent.average_actor)
                expert = Expert(self.prior, actor, config.agent, config.noise_bound, mode, validated=0.0)
                policy = ExpertPolicy(expert, self.seed)
                stage = f"validate ({mode})"
                episodes = yield from run_episodes(env, policy, config.validation_episodes, VALIDATION_SEED, stage)
                expert.validated = float(np.mean([episode.success for episode in episodes]))
                row[f"validated_{mode}"] = expert.validated
                # A tie goes to the mean, of two means to the later; a sampled mode must be better than all before it.
                if expert.validated > self.best_success or (expert.validated == self.best_success and mode == "mean"):
                    self.best_success = expert.validated
                    expert.save(self.folder / "best.safetensors")
        self.solved = self.best_success >= config.stop_at
        self.seconds += time.monotonic() - start
        return row | {"seconds": self.seconds}

    def save(self, rows: int) -> None:
        """Saves everything that the next segment continues from."""
        counters = {name: getattr(self, name) for name in _COUNTERS} | {"rows": rows, "recent": list(self.recent)}
        tensors = with_prefix("agent", self.agent.state()) | with_prefix("replay", self.replay.state())
        save_checkpoint(self.folder / "state.safetensors", "steer-state", 1, tensors, counters)

    def _load(self) -> None:
        path = self.folder / "state.safetensors"
        tensors, counters = load_checkpoint(path, "steer-state", 1)
        self.agent.load_state(without_prefix("agent", tensors), path)
        self.replay.load_state(without_prefix("replay", tensors))
        self.recent.extend(counters.pop("recent"))
        for name, value in counters.items():
            setattr(self, name, value)

    def _explore(self, observation: Tensor) -> Tensor:
        """Actions of the raw actor, or, while warming up, of the prior's own N(0, I) noise, clipped to the bound."""
        if self.env_steps >= self.config.warmup_env_steps:
            return self.agent.explore(observation)
        shape = (len(observation), self.agent.action_size)
        normal = torch.randn(shape, generator=self.agent.generator, device=self.device)
        return (normal / self.config.noise_bound).clamp(-1, 1)

    def _noise(self, action: Tensor) -> Tensor:
        return (self.config.noise_bound * action).unflatten(1, self.prior.noise_shape)

    def _batch(self, draw: torch.Generator) -> Batch:
        share = self.config.success_share if len(self.replay.successes()) >= self.config.success_minimum else 0.0
        agent = self.config.agent
        return self.replay.sample(self.config.batch_size, agent.n_step, agent.discount, draw, share)

    def _remember(self, observation: Tensor, action: Tensor, outcome: ChunkOutcome) -> None:
        next_observation = self.prior.normalize(torch.as_tensor(outcome.next_observation, device=self.device))
        flags = [
            torch.as_tensor(f, device=self.device) for f in (outcome.terminated, outcome.truncated, outcome.success)
        ]
        self.replay.add(observation, action, flags[2].float(), next_observation, *flags)
        self.recent.extend(outcome.success[outcome.ended].tolist())
        self.env_steps += int(outcome.steps.sum())

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        """One gradient step.

        Raises:
            TrainingError: if a loss is not finite.
        """
        health = self.agent.update(batch, self.config.learning_rate_at(self.env_steps))
        for name in ("critic_loss", "actor_loss"):
            if not math.isfinite(health[name]):
                dump = self.folder / "bad_batch.safetensors"
                save_checkpoint(dump, "bad-batch", 1, vars(batch), {"env_steps": self.env_steps, "metric": name})
                raise TrainingError(f"{name} is not finite at env step {self.env_steps}; its batch is in {dump}")
        return health

    def _row(self, action: Tensor, health: dict[str, float]) -> dict[str, Any]:
        """One row of metrics."""
        norm = float(self.config.noise_bound * action.square().mean().sqrt())
        return {
            "step": self.env_steps,
            "seconds": self.seconds,
            "updates": self.updates,
            "success": self.recent_success,
            "noise_norm": norm,
            **health,
        }


_COUNTERS = ("segments", "env_steps", "updates", "seconds", "best_success", "solved")
