"""The loop of every agent that learns from success, whatever its action means.

    warm up                                              the prior's own behaviour fills the replay, until it succeeds
    repeat
        act in all environments as the agent explores
        simulate that decision        (on one core)
        update the agent              (on the other core, from the replay as it was before the decision)
        wait for both                 (a fixed point: the same seed gives the same bits on one core or two)

A run consists of segments. Each begins from seeded resets with random streams of its own, and ends with an atomic save
of everything. Before that, once training episodes succeed often enough, the averaged actor is validated in its modes on
validation seeds, whose simulator steps are counted apart; the best of all validations becomes the solution. A run that
was killed continues at the last segment and ends with the same bits.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expertgen.errors import TrainingError, UsageError
from expertgen.evaluation.perturbations import perturb_all
from expertgen.evaluation.rollouts import run_episodes
from expertgen.evaluation.seeds import CONFIRMATION_SEED, VALIDATION_SEED
from expertgen.rl.health import Means, RecentSuccess
from expertgen.rl.learner import Learner, Solution
from expertgen.rl.process import Decision, DecisionProcess
from expertgen.rl.replay import Batch, Replay, Rollout
from expertgen.runs.checkpoint import load_checkpoint, load_module, save_checkpoint, with_prefix, without_prefix
from expertgen.runs.machine import available_cores, prepare_process
from expertgen.runs.metrics import MetricsWriter
from expertgen.runs.progress import StageProgress
from expertgen.runs.ranges import Count, Positive, Share, check_ranges
from expertgen.runs.seeding import derive_seed, torch_generator
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.registry import make_env
from expertgen.tasks.spec import TaskSpec


@dataclass(frozen=True)
class LoopConfig:
    """How long, on how many environments and on which batches an agent learns."""

    num_envs: Count = 64
    """Environments simulated side by side."""
    env_steps: Count = 280_000
    """Control steps of training at most."""
    segment_env_steps: Count = 40_000
    """Control steps between two saved states (and validations); at least one episode of every environment."""
    warmup_env_steps: Count = 16_000
    """Control steps before learning starts; where the prior acts in them, and never succeeds, until it does."""
    updates_per_decision: Positive = 0.25
    """Gradient steps for every decision of every environment."""
    batch_size: Count = 256
    """Transitions a gradient step."""
    success_share: Share = 0.3
    """Share of every batch drawn from successful episodes."""
    success_minimum: Count = 200
    """Transitions of successful episodes there must be before they get that share."""
    perturbations: tuple[str, ...] = ()
    """What disturbs training episodes and validations: NAME or NAME=STRENGTH, as for `expertgen robustness`."""
    demo_share: Share = 0.0
    """Share of every batch drawn from demonstrations that succeeded."""
    validate_from: float = 0.5
    """Success of recent training episodes from which a segment ends with a validation; the last one always does."""
    validation_episodes: Count = 128
    """Episodes of a validation, in each mode."""
    stop_at: float = 0.99
    """Stop early at this success of a validation, if twice as many other episodes confirm it; above 1 never."""

    def __post_init__(self) -> None:
        check_ranges(self, "steer")
        if self.warmup_env_steps >= self.env_steps:
            raise UsageError(
                f"steer.warmup_env_steps ({self.warmup_env_steps}) must be less than steer.env_steps "
                f"({self.env_steps}), or nothing is ever learnt"
            )

    def check(self, first_update: int, option: str) -> None:
        """Refuses what would leave an agent as it was.

        Args:
            first_update: of an on-policy agent, control steps before it; 0 is an off-policy one.
            option: what the option is called that says when, or how often, the agent is updated.

        Raises:
            UsageError: naming the option.
        """
        if first_update > self.env_steps:
            raise UsageError(
                f"{option} puts the first update at env step {first_update}, behind steer.env_steps "
                f"({self.env_steps}); lower it, or steer.num_envs"
            )
        if not first_update and self.updates_per_round < 1:
            raise UsageError(
                f"{option} ({self.updates_per_decision}) is less than one update a round of "
                f"{self.num_envs} environments; raise it, or steer.num_envs"
            )

    def loop(self, **changes: Any) -> LoopConfig:
        """These options with changes, and nothing of what a method has besides."""
        return LoopConfig(**({name: getattr(self, name) for name in LoopConfig.__dataclass_fields__} | changes))

    @property
    def updates_per_round(self) -> int:
        """Gradient steps while all environments run one decision."""
        return round(self.updates_per_decision * self.num_envs)

    def rate_at(self, env_steps: int) -> float:
        """Part of its learning rate that an agent uses: 1 for half of the budget, then falling linearly to a tenth."""
        return max(0.1, min(1.0, 2 * (1 - env_steps / self.env_steps)))


def learn(
    task: TaskSpec,
    learner: Learner,
    config: LoopConfig,
    seed: int,
    folder: Path,
    stage: str,
    device: str = "cpu",
    tensorboard: bool = False,
) -> Generator[StageProgress, None, None]:
    """Lets an agent learn a task, and saves the best validated solution to `folder/best.safetensors`.

    Args:
        task: the task; its own simulator is used.
        learner: who learns, freshly initialised.
        config: options.
        seed: the run's seed.
        folder: the stage's folder; `state.safetensors` there is what a killed run continues from.
        stage: name of the stage: part of its random streams, and what progress shows.
        device: torch device.
        tensorboard: also write TensorBoard event files.

    Yields:
        progress with the recent success in training (`RecentSuccess`) and the best validated success.

    Raises:
        TrainingError: if a loss is not finite; the batch is dumped to `folder/bad_batch.safetensors`.
        UsageError: if the options would leave nothing to learn from.
    """
    config.check(learner.rounds * config.num_envs, "rounds" if learner.rounds else "updates_per_decision")
    run = _Run(task, learner, config, seed, folder, stage, device)
    writer = MetricsWriter(folder, keep_rows=run.rows, tensorboard=tensorboard)
    while not run.finished:
        for row in run.segment():
            writer.write(row)
            shown = {"success": row["success"], "validated": run.best_success}
            yield StageProgress(stage, min(run.env_steps, config.env_steps), config.env_steps, "env steps", shown)
        for actor in run.candidates():
            writer.write((yield from run.validate(actor)))
        run.save(writer.rows)


class _Run:
    """One run between its saved states."""

    def __init__(
        self, task: TaskSpec, learner: Learner, config: LoopConfig, seed: int, folder: Path, stage: str, device: str
    ) -> None:
        self.task, self.learner, self.config = task, learner, config
        self.seed, self.folder, self.stage, self.device = seed, folder, stage, device
        controller = learner.controller(torch.Generator())
        # A decision runs at least one step; the shortest useful ring holds a whole run of full chunks.
        rounds = learner.rounds or 2 * config.env_steps // (config.num_envs * controller.chunk_length) + 2
        remembered = controller.chunk_length * task.action_size if learner.remembers_chunks else controller.action_size
        self.discount = learner.discount**controller.chunk_length  # γ of a decision
        self.replay = Replay(rounds, config.num_envs, controller.observation_size, remembered, device)
        self.segments = self.env_steps = self.updates = self.rows = 0
        self.validations = self.validation_env_steps = 0
        self.seconds = self.best_success = self.peak = 0.0
        self.peak_actor = copy.deepcopy(learner.agent.average_actor)
        self.solved = False
        self.recent = RecentSuccess(config.num_envs, math.ceil(task.horizon / controller.chunk_length))
        if (folder / "state.safetensors").exists():
            self._load()

    @property
    def finished(self) -> bool:
        """The budget is spent, or the solution passed its validation."""
        return self.env_steps >= self.config.env_steps or self.solved

    def segment(self) -> Generator[dict[str, Any], None, None]:
        """Collects and learns until the next validation is due; yields rows of metrics."""
        config, agent, on_policy = self.config, self.learner.agent, self.learner.rounds > 0
        agent.generator.manual_seed(derive_seed(self.seed, self.stage, "agent", self.segments))
        draw = torch_generator(self.seed, self.stage, "replay", self.segments)
        controller = self.learner.controller(torch_generator(self.seed, self.stage, "controller", self.segments))
        env = make_env(self.task, config.num_envs, threads=available_cores())
        process = DecisionProcess(perturb_all(env, config.perturbations), controller)
        process.reset(derive_seed(self.seed, self.stage, "envs", self.segments))
        self.recent.restart()
        # All environments begin anew with a segment: in a shorter one only episodes that succeed would end.
        length = max(config.segment_env_steps, config.num_envs * self.task.horizon)
        end = min((self.segments + 1) * length, config.env_steps)
        start, rounds, health = time.monotonic() - self.seconds, 0, Means()
        with closing(env), ThreadPoolExecutor(1, initializer=prepare_process) as simulator:
            while self.env_steps < end:
                if on_policy:
                    self._learn(draw, health)
                seen, action = process.seen, self._explore(process)
                simulation = simulator.submit(process.step, action)
                if available_cores() == 1:
                    wait([simulation])  # taking turns keeps the caches warm; the bits are the same
                if not on_policy:
                    self._learn(draw, health)
                self._remember(seen, action, simulation.result())
                rounds += 1
                if rounds % 10 == 0 or self.env_steps >= end:
                    self.seconds = time.monotonic() - start
                    self.updates += health.count
                    measures = controller.measures(action)
                    yield self._row(measures | {name: float(mean) for name, mean in health.take().items()})
        self.replay.cut()
        self.segments += 1

    def candidates(self) -> list[nn.Module]:
        """Actors to validate now: the averaged one, where training episodes succeed often enough, and in the end.

        Where they never did, the one of the segment in which they succeeded most gets its chance in the end, too.
        """
        average = copy.deepcopy(self.learner.agent.average_actor)
        if self.finished and self.validations == 0 and self.peak > self.recent.rate:
            return [self.peak_actor, average]
        if self.finished or self.recent.rate >= self.config.validate_from:
            return [average]
        if self.recent.rate > self.peak:
            self.peak, self.peak_actor = self.recent.rate, average
        return []

    def validate(self, actor: nn.Module) -> Generator[StageProgress, None, dict[str, Any]]:
        """Plays the validation episodes in all modes; the best of all actors and modes is the solution."""
        config, start = self.config, time.monotonic()
        row: dict[str, Any] = {"step": self.env_steps}
        self.validations += 1
        env = make_env(self.task, min(config.num_envs, config.validation_episodes), threads=available_cores())
        world = perturb_all(env, config.perturbations)
        with closing(env):
            for mode in self.learner.modes:
                solution = self.learner.solution(actor, mode)
                episodes, play = config.validation_episodes, f"validate ({mode})"
                solution.validated = yield from self._play(world, solution, episodes, VALIDATION_SEED, play)
                if solution.validated >= config.stop_at:  # it may have been lucky
                    episodes, play = 2 * episodes, f"confirm ({mode})"
                    solution.validated = yield from self._play(world, solution, episodes, CONFIRMATION_SEED, play)
                row |= {f"validated_{mode}": solution.validated, f"episodes_{mode}": episodes}
                # A tie goes to the first mode, of two to the later; another mode must be better than all before it.
                best = self.best_success
                if solution.validated > best or (solution.validated == best and mode == self.learner.modes[0]):
                    self.best_success = solution.validated
                    solution.save(self.folder / "best.safetensors")
        self.solved = self.best_success >= config.stop_at
        self.seconds += time.monotonic() - start
        return row | {"seconds": self.seconds, "validation_env_steps": self.validation_env_steps}

    def _play(
        self, env: TaskEnv, solution: Solution, episodes: int, seed: int, stage: str
    ) -> Generator[StageProgress, None, float]:
        """Success of a solution in so many episodes, which begin alike each time."""
        played = yield from run_episodes(env, solution.policy(self.seed), episodes, seed, stage)
        self.validation_env_steps += sum(episode.steps for episode in played)
        return float(np.mean([episode.success for episode in played]))

    def save(self, rows: int) -> None:
        """Saves everything that the next segment continues from."""
        counters = {name: getattr(self, name) for name in _COUNTERS} | {"rows": rows, "recent": self.recent.outcomes}
        tensors = with_prefix("agent", self.learner.agent.state()) | with_prefix("replay", self.replay.state())
        tensors |= with_prefix("peak", self.peak_actor.state_dict())
        save_checkpoint(self.folder / "state.safetensors", "steer-state", 5, tensors, counters)

    def _load(self) -> None:
        path = self.folder / "state.safetensors"
        tensors, counters = load_checkpoint(path, "steer-state", 5)
        self.learner.agent.load_state(without_prefix("agent", tensors), path)
        self.replay.load_state(without_prefix("replay", tensors))
        load_module(self.peak_actor, without_prefix("peak", tensors), path)
        self.recent.outcomes = counters.pop("recent")
        for name, value in counters.items():
            setattr(self, name, value)

    @property
    def _warming_up(self) -> bool:
        """Whether the agent waits: for its steps of warm-up, and for a first success where the prior can have one.

        An agent that has learnt from failures alone may explore where the prior would not go, and never have one.
        """
        learner = self.learner
        if learner.rounds:
            return False
        nothing_yet = learner.demos is None and len(self.replay.successes()) == 0
        return (learner.begins_as_prior and nothing_yet) or self.env_steps < self.config.warmup_env_steps

    def _explore(self, process: DecisionProcess) -> Tensor:
        """Actions of the raw actor, or, while warming up, of the behaviour that learning begins from."""
        agent, learner, envs = self.learner.agent, self.learner, len(process.seen)
        share = 1.0
        if self._warming_up:
            share = 0.0
        elif self.env_steps < (progressive := learner.progressive_share * self.config.env_steps):
            share = self.env_steps / progressive
        if share == 1:
            return agent.explore(process.seen)
        normal = torch.randn(envs, agent.action_size, generator=agent.generator, device=self.device)
        familiar = process.controller.warm_up(normal, process.seen)
        if share == 0:
            return familiar
        decides = torch.rand(envs, 1, generator=agent.generator, device=self.device) < share
        return torch.where(decides, agent.explore(process.seen), familiar)

    def _learn(self, draw: torch.Generator, health: Means) -> None:
        """The updates of one round, from the replay as it is."""
        rate = self.config.rate_at(self.env_steps)
        for batch in self._batches(draw):
            step = self.learner.agent.update(batch, rate)
            for name in ("critic_loss", "actor_loss"):
                if not math.isfinite(step.get(name, 0.0)):
                    dump = self.folder / "bad_batch.safetensors"
                    save_checkpoint(dump, "bad-batch", 1, vars(batch), {"env_steps": self.env_steps, "metric": name})
                    raise TrainingError(f"{name} is not finite at env step {self.env_steps}; its batch is in {dump}")
            health.add(step)

    def _batches(self, draw: torch.Generator) -> Iterator[Batch | Rollout]:
        learner, config, replay = self.learner, self.config, self.replay
        if learner.rounds:
            if replay.rounds and replay.rounds % learner.rounds == 0:
                yield replay.newest(learner.rounds, self.discount)
        elif not self._warming_up:
            share = config.success_share if len(replay.successes()) >= config.success_minimum else 0.0
            from_demos = round(config.demo_share * config.batch_size)
            look_ahead = (learner.n_step, self.discount, draw)
            for _ in range(config.updates_per_round):
                batch = replay.sample(config.batch_size - from_demos, *look_ahead, share)
                yield batch.beside(learner.demos.sample(from_demos, *look_ahead)) if learner.demos else batch

    def _remember(self, seen: Tensor, action: Tensor, decision: Decision) -> None:
        outcome = decision.outcome
        flags = [
            torch.as_tensor(f, device=self.device) for f in (outcome.terminated, outcome.truncated, outcome.success)
        ]
        remembered = decision.chunk.flatten(1) if self.learner.remembers_chunks else action
        reward = torch.as_tensor(self.learner.reward(outcome), device=self.device)
        self.replay.add(seen, remembered, reward, decision.next_seen, *flags)
        self.recent.add(outcome.ended, outcome.success)
        self.env_steps += int(outcome.steps.sum())

    def _row(self, measures: dict[str, float]) -> dict[str, Any]:
        """One row of metrics."""
        counts = {"step": self.env_steps, "seconds": self.seconds, "updates": self.updates}
        return counts | {"success": self.recent.rate} | measures


_COUNTERS = (
    *("segments", "env_steps", "updates", "seconds", "best_success", "solved"),
    *("peak", "validations", "validation_env_steps"),
)
