"""Model-based policy optimisation (Janner et al. 2019, https://arxiv.org/abs/1906.08253, algorithm 2).

    fill D_env with uniform actions
    for N epochs
        for E steps
            every F steps: weigh D_env for the present policy, train the model on it          (learning.py)
                           draw M states of D_env, let the policy act k steps in the model, add to D_model
            act in the environment, add to D_env
            for G updates: soft actor-critic on a batch of D_model and a little of D_env; the policy steps
                           only at some of them
        evaluate

With uniform weights this is MBPO. The weights enter at both places where D_env is used for the model: its training, and
the states from which rollouts branch.

A run consists of segments: the uniform actions, then the epochs. Each begins from a seeded reset with random streams of
its own and a refresh of the model, and ends with an atomic save of everything. The episode that is under way at the end
counts as cut by a time limit. A run that was killed continues at the last segment and ends with the same bits.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expertgen.dynamics.training import Objective
from expertgen.dynamics.transitions import TransitionBuffer, Transitions
from expertgen.errors import TrainingError, UsageError
from expertgen.evaluation.seeds import VALIDATION_SEED
from expertgen.mbrl.episodes import Acting, Experience, play_returns
from expertgen.mbrl.learning import ModelLearner
from expertgen.mbrl.rollouts import branched_rollouts, concatenate, rollout_length
from expertgen.rl.replay import Batch
from expertgen.rl.sac_returns import ReturnSacAgent
from expertgen.runs.checkpoint import load_checkpoint, save_checkpoint, with_prefix, without_prefix
from expertgen.runs.metrics import MetricsWriter
from expertgen.runs.progress import StageProgress
from expertgen.runs.ranges import Count, Natural, Share, check_ranges
from expertgen.runs.seeding import derive_seed, torch_generator
from expertgen.tasks.registry import make_env
from expertgen.tasks.spec import TaskSpec


@dataclass(frozen=True)
class MbpoConfig:
    """Model-based policy optimisation."""

    env_steps: Count = 60_000
    """Steps in the environment, exploration included."""
    exploration_steps: Count = 5_000
    """Steps of uniform actions before anything is learned."""
    epoch_steps: Count = 1_000
    """Steps of an epoch: between two evaluations and saved states."""
    model_every: Count = 250
    """Steps between two refreshes of the model."""
    rollout_transitions: Count = 100_000
    """Transitions imagined after each refresh: the longer rollouts are, the fewer begin."""
    rollout_schedule: tuple[int, int, int, int] = (20, 150, 1, 1)
    """(e0, e1, k0, k1): rollouts have k0 steps until epoch e0 and k1 steps from epoch e1 on."""
    retain_epochs: Count = 1
    """Epochs for which imagined transitions are kept."""
    updates_per_step: Count = 20
    """Gradient steps of the critics for each step in the environment."""
    policy_every: Count = 1
    """The policy steps after every so many steps of the critics."""
    batch_size: Count = 256
    """Transitions of a gradient step."""
    real_ratio: Share = 0.05
    """Share of real transitions in it."""
    late_discount: Share | None = None
    """Discount after `late_discount_from`; by default the agent's own stays."""
    late_discount_from: Natural = 40_000
    """Steps in the environment from which the late discount holds."""
    evaluation_episodes: Count = 10
    """Episodes of the evaluation at the end of each epoch."""
    keep_best: bool = False
    """The run's agent is the one of the best evaluation, not the last."""
    weight_model: bool = True
    """Weights count in the model's training."""
    weight_starts: bool = True
    """Weights count in the choice of the states from which rollouts branch."""

    def __post_init__(self) -> None:
        check_ranges(self, "mbpo")
        if self.exploration_steps >= self.env_steps:
            raise UsageError(
                f"mbpo.exploration_steps ({self.exploration_steps}) must be less than mbpo.env_steps "
                f"({self.env_steps}), or nothing is ever learnt"
            )
        if self.updates_per_step % self.policy_every:
            raise UsageError(
                f"mbpo.policy_every ({self.policy_every}) must divide mbpo.updates_per_step ({self.updates_per_step})"
            )
        first, last, shortest, longest = self.rollout_schedule
        if not (0 <= first < last and 1 <= shortest <= longest):
            raise UsageError(
                f"mbpo.rollout_schedule (e0, e1, k0, k1) needs 0 <= e0 < e1 and 1 <= k0 <= k1, not "
                f"{self.rollout_schedule}"
            )
        if longest > self.rollout_transitions:
            raise UsageError(
                f"a rollout of {longest} steps is longer than mbpo.rollout_transitions ({self.rollout_transitions}), "
                "all that a refresh imagines; raise that or shorten mbpo.rollout_schedule"
            )

    @property
    def retained(self) -> int:
        """Imagined transitions that are kept."""
        return self.rollout_transitions * math.ceil(self.epoch_steps / self.model_every) * self.retain_epochs


def mbpo(
    task: TaskSpec,
    agent: ReturnSacAgent,
    learner: ModelLearner,
    config: MbpoConfig,
    seed: int,
    folder: Path,
    actor: Acting | None = None,
    objective: Objective | None = None,
    tensorboard: bool = False,
) -> Generator[StageProgress, None, ReturnSacAgent]:
    """Trains an agent and saves it to `folder/agent.safetensors`.

    Args:
        task: the task; its own simulator and its own rewards are used.
        agent: learns in the model.
        learner: the model, and how its data are weighted.
        config: options.
        seed: the run's seed.
        folder: the stage's folder; `state.safetensors` there is what a killed run, or one whose planner is still to
            be evaluated, continues from.
        actor: acts in the environment instead of the agent: a planner that trusts its value.
        objective: what the model minimises from the second epoch on; its own loss by default, and before.
        tensorboard: also write TensorBoard event files.

    Yields:
        progress with the return of the last evaluation.

    Raises:
        TrainingError: if a loss or a prediction is not finite; the batch is in `folder/bad_batch.safetensors`. Also if
            the termination rule disagrees with the simulator.
    """
    result = folder / "agent.safetensors"
    run = _Run(task, agent, learner, config, seed, folder, actor or agent, objective)
    if result.exists():
        agent.load_state(load_checkpoint(result, "mbrl-agent", 1)[0], result)
        return agent
    writer = MetricsWriter(folder, keep_rows=run.rows, tensorboard=tensorboard)
    while run.env_steps < config.env_steps:
        yield from run.epoch(writer) if run.segments else run.explore()
        run.save(writer.rows)
    if config.keep_best:
        run.best_path.replace(result)
        agent.load_state(load_checkpoint(result, "mbrl-agent", 1)[0], result)
    else:
        run.save_agent(result)
    return agent


class _Run:
    """One run between its saved states."""

    def __init__(
        self,
        task: TaskSpec,
        agent: ReturnSacAgent,
        learner: ModelLearner,
        config: MbpoConfig,
        seed: int,
        folder: Path,
        actor: Acting,
        objective: Objective | None,
    ) -> None:
        self.task, self.agent, self.learner, self.config = task, agent, learner, config
        self.seed, self.folder, self.actor, self.objective = seed, folder, actor, objective
        self.device = str(agent.generator.device)
        self.imagined = TransitionBuffer(config.retained, task.observation_size, task.action_size, self.device)
        self.segments = self.env_steps = self.updates = self.rows = 0
        self.seconds = 0.0
        self.last_return: float | None = None
        self.best_return: float | None = None
        if (folder / "state.safetensors").exists():
            self._load()

    def explore(self) -> Generator[StageProgress, None, None]:
        """Uniform actions."""
        start, draw = time.monotonic(), torch_generator(self.seed, "mbrl", "explore")
        steps = self.config.exploration_steps
        with closing(make_env(self.task, 1)) as env:
            real = Experience(env, derive_seed(self.seed, "mbrl", "env", 0), self.device)
            for step in range(steps):
                action = 2 * torch.rand(1, self.task.action_size, generator=draw) - 1
                self.learner.add(*real.step(action.to(self.device), last=step == steps - 1))
        self.learner.check(steps)
        self.segments, self.env_steps, self.seconds = 1, steps, time.monotonic() - start
        yield self._progress()

    def epoch(self, writer: MetricsWriter) -> Generator[StageProgress, None, None]:
        """E steps in the environment, and all learning that belongs to them."""
        config, learner = self.config, self.learner
        start, row = time.monotonic() - self.seconds, {}
        health: defaultdict[str, list[Tensor]] = defaultdict(list)
        steps = min(config.epoch_steps, config.env_steps - self.env_steps)
        if config.late_discount is not None and self.env_steps >= config.late_discount_from:
            self.agent.discount = config.late_discount
        draw = self._seed_streams()
        with closing(make_env(self.task, 1)) as env:
            real = Experience(env, derive_seed(self.seed, "mbrl", "env", self.segments), self.device)
            for step in range(steps):
                if step % config.model_every == 0:
                    row = yield from self._refresh(draw)
                action = self.actor.act(real.observation)
                learner.add(*real.step(action, last=step == steps - 1))
                self.env_steps += 1
                for update, batch in enumerate(self._batches(draw), 1):
                    figures = self._update(batch, policy=update % config.policy_every == 0)
                    for name, value in figures.items():
                        health[name].append(value)
                    self.updates += 1
                if (step + 1) % config.model_every == 0 or step == steps - 1:
                    self.seconds = time.monotonic() - start
                    means = {name: float(torch.stack(values).mean()) for name, values in health.items()}
                    writer.write(self._counts() | means | row)
                    health.clear()
                if (step + 1) % 50 == 0 or step == steps - 1:
                    yield self._progress()
        learner.check(steps)
        with closing(make_env(self.task, config.evaluation_episodes)) as env:
            returns, lengths = play_returns(env, self.actor, VALIDATION_SEED, self.device)
        self.last_return, self.seconds = float(returns.mean()), time.monotonic() - start
        if config.keep_best and (self.best_return is None or self.last_return > self.best_return):
            self.best_return = self.last_return
            self.save_agent(self.best_path)
        evaluation = {"return": self.last_return, "return_deviation": float(returns.std())}
        evaluation |= {"episode_steps": float(lengths.mean()), "discount": self.agent.discount}
        writer.write(self._counts() | evaluation)
        self.segments += 1
        yield self._progress()

    def save(self, rows: int) -> None:
        """Saves everything that the next segment continues from."""
        counters = {name: getattr(self, name) for name in _COUNTERS} | {"rows": rows, "discount": self.agent.discount}
        tensors: dict[str, Tensor] = {}
        for name, part in self._parts().items():
            tensors |= with_prefix(name, part.state())
        save_checkpoint(self.folder / "state.safetensors", "mbrl-state", 2, tensors, counters)

    @property
    def best_path(self) -> Path:
        """The agent of the best evaluation so far."""
        return self.folder / "best.safetensors"

    def save_agent(self, path: Path) -> None:
        """Saves the agent alone."""
        save_checkpoint(path, "mbrl-agent", 1, self.agent.state(), {"task": self.task.id})

    def _load(self) -> None:
        path = self.folder / "state.safetensors"
        tensors, counters = load_checkpoint(path, "mbrl-state", 2)
        for name, part in self._parts().items():
            part.load_state(without_prefix(name, tensors), path)
        self.agent.discount = counters.pop("discount")
        for name, value in counters.items():
            setattr(self, name, value)

    def _parts(self) -> dict[str, ReturnSacAgent | ModelLearner | TransitionBuffer]:
        return {"agent": self.agent, "learner": self.learner, "imagined": self.imagined}

    def _seed_streams(self) -> torch.Generator:
        """Begins the segment's random streams; returns the one of the model's data and of batches."""
        generators = {"agent": self.agent.generator, "actor": self.actor.generator}
        for name, generator in (generators | {"weighting": self.learner.generator}).items():
            generator.manual_seed(derive_seed(self.seed, "mbrl", name, self.segments))
        return torch_generator(self.seed, "mbrl", "draw", self.segments)

    def _refresh(self, draw: torch.Generator) -> Generator[StageProgress, None, dict[str, Any]]:
        """Trains the model, then imagines with it; returns figures to log."""
        config, learner, agent = self.config, self.learner, self.agent
        real = learner.buffer.all()
        agent.fit_observation_scale(real.observation)
        if self.updates == 0:
            agent.fit_reward_scale(real.reward)
        epoch = self.segments - 1
        figures = yield from learner.refresh(agent.policy, draw, self.objective if epoch else None)
        length = rollout_length(epoch, config.rollout_schedule)
        imagined = branched_rollouts(
            learner.model,
            agent.policy,
            learner.termination,
            learner.starts(config.rollout_transitions // length, draw),
            length,
            draw,
            self.folder,
        )
        self.imagined.add(imagined, torch.zeros_like(imagined.terminated))
        return figures | {"rollout_length": length, "imagined": len(self.imagined)}

    def _batches(self, draw: torch.Generator) -> Iterator[Batch]:
        """Draws the batches of one step in the environment, all at once."""
        config = self.config
        real_rows = int(config.real_ratio * config.batch_size)
        mixed = concatenate(
            _drawn(self.learner.buffer.all(), (config.updates_per_step, real_rows), draw),
            _drawn(self.imagined.all(), (config.updates_per_step, config.batch_size - real_rows), draw),
            dim=1,
        )
        columns = mixed.tensors()
        # A time limit, and the end of a rollout, bootstrap: only the task's own end has no future.
        columns["discount"] = self.agent.discount * (~columns.pop("terminated")).float()
        del columns["truncated"]
        for i in range(config.updates_per_step):
            yield Batch(**{name: column[i] for name, column in columns.items()})

    def _update(self, batch: Batch, policy: bool) -> dict[str, Tensor]:
        """One gradient step of the critics, and of the policy (TrainingError if a loss is not finite)."""
        health = self.agent.update(batch, policy)
        for name in health.keys() & {"critic_loss", "actor_loss"}:
            if not math.isfinite(health[name]):
                dump = self.folder / "bad_batch.safetensors"
                save_checkpoint(dump, "bad-batch", 1, vars(batch), {"env_steps": self.env_steps, "metric": name})
                raise TrainingError(f"{name} is not finite at env step {self.env_steps}; its batch is in {dump}")
        return health

    def _counts(self) -> dict[str, Any]:
        return {"step": self.env_steps, "seconds": self.seconds, "updates": self.updates}

    def _progress(self) -> StageProgress:
        shown = {} if self.last_return is None else {"return": self.last_return}
        return StageProgress("mbpo", self.env_steps, self.config.env_steps, "env steps", shown)


def _drawn(transitions: Transitions, shape: tuple[int, int], generator: torch.Generator) -> Transitions:
    return transitions[torch.randint(len(transitions), shape, generator=generator).to(transitions.reward.device)]


_COUNTERS = ("segments", "env_steps", "updates", "seconds", "last_return", "best_return")
