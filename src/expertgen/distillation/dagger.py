"""DAgger: the expert labels every state that is visited, and the student visits ever more of them itself.

    D ← {}
    for i = 1 ... iterations:
        α_i falls linearly from α_start to α_end
        play: at each decision the expert's chunk is run with probability α_i, else the student's
        D ← D ∪ {(what the cameras saw, the expert's chunk)} for every decision, whoever acted
        train the student on all of D

(Ross, Gordon and Bagnell 2011; here decisions are chunks of H control steps, the loss is L1, and the student that
plays and is kept is the running average of the trained one.) With α_start = α_end = 1 it is behaviour cloning on as
many decisions and with as many updates.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from expertgen.distillation.augment import augmented
from expertgen.distillation.learner import Learner
from expertgen.distillation.student import Sight, Student, StudentSpec, make_rig, make_student_env
from expertgen.errors import UsageError
from expertgen.evaluation.policy import Policy
from expertgen.runs.metrics import MetricsWriter
from expertgen.runs.progress import StageProgress
from expertgen.runs.ranges import Count, Natural, NotNegative, Positive, Rate, check_ranges
from expertgen.runs.seeding import derive_seed, numpy_generator, torch_generator
from expertgen.tasks.chunks import execute_chunk
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.spec import TaskSpec
from expertgen.vision.points import Workspace
from expertgen.vision.randomize import CameraRandomization
from expertgen.vision.rig import select_cameras


@dataclass(frozen=True)
class DistillConfig:
    """How a student is distilled."""

    sight: Sight = "points"
    """What the student sees besides its proprioception: "points", "depth", or "blind" (a control)."""
    cameras: tuple[str, ...] = ("side",)
    """Names of the task's cameras that it looks through."""
    randomization: CameraRandomization = field(
        default_factory=lambda: CameraRandomization(position=0.02, rotation=2.0, depth_noise=0.004, point_dropout=0.1)
    )
    """Imperfections of the cameras while it learns."""
    iterations: Count = 16
    """Times that new decisions are collected and trained on."""
    decisions: Count = 256
    """Decisions collected in each iteration, a multiple of num_envs; every one gets the expert's label."""
    num_envs: Count = 8
    """Environments played side by side; few enough that each plays through whole episodes in an iteration."""
    alpha_start: float = 1.0
    """The expert's share of the decisions in the first iteration."""
    alpha_end: float = 0.2
    """The expert's share in the last iteration; 1 makes the whole behaviour cloning."""
    updates: Natural = 100
    """Gradient steps in each iteration, on all decisions so far."""
    final_iterations: Natural = 10
    """Further iterations without new decisions, in which the learning rate falls."""
    batch_size: Count = 64
    """Decisions in a gradient step."""
    learning_rate: Positive = 1e-3
    """AdamW's rate; in the final iterations it falls linearly to 3%."""
    weight_decay: NotNegative = 1e-4
    """AdamW's weight decay."""
    ema_rate: Rate = 0.01
    """Rate of the running average of the weights; the average plays and is kept."""
    width: Count = 256
    """Hidden width of the student's head."""
    points: Count = 512
    """Points in a cloud."""
    train_points: Count = 256
    """Of these, how many a gradient step uses; drawn anew for each."""

    def __post_init__(self) -> None:
        check_ranges(self, "distill")
        if self.sight not in ("points", "depth", "blind"):
            raise UsageError(f"distill.sight must be 'points', 'depth' or 'blind', not {self.sight!r}")
        if self.decisions % self.num_envs:
            raise UsageError(f"distill.decisions ({self.decisions}) must be a multiple of num_envs ({self.num_envs})")
        if not 0 <= self.alpha_end <= self.alpha_start <= 1:
            raise UsageError(
                f"distill.alpha_start ({self.alpha_start}) and alpha_end ({self.alpha_end}) must satisfy "
                "0 <= alpha_end <= alpha_start <= 1"
            )
        if self.train_points > self.points:
            raise UsageError(f"distill.train_points ({self.train_points}) cannot exceed points ({self.points})")

    def alpha(self, iteration: int) -> float:
        """The expert's share of the decisions in an iteration, counted from 0."""
        part = iteration / max(1, self.iterations - 1)
        return (1 - part) * self.alpha_start + part * self.alpha_end

    @property
    def total_updates(self) -> int:
        """Gradient steps of the whole distillation."""
        return (self.iterations + self.final_iterations) * self.updates

    def learning_rate_at(self, update: int) -> float:
        """The learning rate of a gradient step, counted from 0."""
        left = (self.total_updates - update) / max(1, self.final_iterations * self.updates)
        return self.learning_rate * max(0.03, min(1.0, left))


def distill(
    task: TaskSpec,
    make_teacher: Callable[[int], Policy],
    config: DistillConfig,
    seed: int,
    folder: Path,
    device: str = "cpu",
) -> Generator[StageProgress, None, Student]:
    """Distils an expert into a camera student and saves it to `folder/student.safetensors`.

    Killed at any moment and called again with the same arguments, it continues after the last iteration that was
    finished, and ends with the same bits.

    Args:
        task: a task with cameras.
        make_teacher: makes the expert for one iteration from a seed, so that an expert that samples can be repeated. It
            plans from the flat observation.
        config: what the student sees and how it learns.
        seed: the run's seed.
        folder: the stage's folder; holds `state.safetensors` between iterations.
        device: torch device.

    Yields:
        gradient steps done, the running loss, the expert's share, and the share of successes among the episodes that
        ended in the last collection. Those are played by expert and student together: they are not the student's.

    Returns:
        the student.

    Raises:
        UsageError: if the task has no such cameras or is not one of MetaWorld's.
        TrainingError: if the loss is not finite; the batch is dumped to `folder/bad_batch.safetensors`.
    """
    result, state = folder / "student.safetensors", folder / "state.safetensors"
    if result.exists():
        state.unlink(missing_ok=True)
        return Student.load(result).to(device)
    env = make_student_env(task, config.num_envs)
    spec = StudentSpec(
        task=task.id,
        sight=config.sight,
        cameras=select_cameras(task, config.cameras),
        points=config.points,
        proprioception_size=len(task.columns("student")),
        chunk_length=make_teacher(seed).chunk_length,
        action_size=task.action_size,
        width=config.width,
        workspace=Workspace(),
    )
    learner = Learner(
        spec,
        derive_seed(seed, "distill", "weights"),
        config.batch_size,
        partial(augmented, train_points=config.train_points, randomization=config.randomization),
        config.weight_decay,
        config.ema_rate,
        device,
    )
    counters = learner.load(state) if state.exists() else {"iteration": 0, "rows": 0, "env_steps": 0}
    env_steps = counters["env_steps"]
    writer = MetricsWriter(folder, keep_rows=counters["rows"])
    for iteration in range(counters["iteration"], config.iterations + config.final_iterations):
        segment = derive_seed(seed, "distill", iteration)
        shown = {}
        if iteration < config.iterations:
            alpha = config.alpha(iteration)
            success, steps = _collect(env, learner, make_teacher(segment), config, alpha, segment)
            env_steps += steps
            shown = {"alpha": alpha, "mixed_success": success}
        for loss in learner.train(config.updates, config.learning_rate_at, torch_generator(segment, "batches"), folder):
            shown["loss"] = loss
            yield StageProgress("distill", learner.updates, config.total_updates, "updates", dict(shown))
        writer.write({"step": learner.updates, "decisions": learner.decisions, "env_steps": env_steps, **shown})
        learner.save(state, iteration=iteration + 1, rows=writer.rows, env_steps=env_steps)
    learner.average.save(result)
    state.unlink()
    return learner.average


def _collect(
    env: MetaWorldEnv, learner: Learner, teacher: Policy, config: DistillConfig, alpha: float, seed: int
) -> tuple[float, int]:
    """Plays `config.decisions` decisions, labels every one with the expert's chunk, and adds them to the data set.

    Every environment makes the same number of decisions and begins a new episode as soon as one has ended, so every
    iteration shows exactly as many decisions, however long the episodes are.

    Returns:
        the share of successes among the episodes that ended (0 if none did), and the control steps that were run.
    """
    student = learner.average
    # Convolutions that have seen noise of one strength only fail without it; clouds do not mind.
    rig = make_rig(student.spec, env, config.randomization, seed, vary=config.sight == "depth")
    coin = numpy_generator(seed, "who acts")
    everybody = np.arange(env.num_envs)
    observation, _ = env.reset(seed=derive_seed(seed, "starts"))
    rig.reset(everybody)
    teacher.reset(everybody)
    views, labels, outcomes, steps = [], [], [], 0
    for _ in range(config.decisions // env.num_envs):
        seen = rig.look(observation, everybody)
        label = teacher.plan(observation, everybody)
        views.append(student.view(seen))
        labels.append(torch.from_numpy(label))
        expert_acts = coin.random(env.num_envs) < alpha
        chunk = np.where(expert_acts[:, None, None], label, student.act(seen))
        outcome = execute_chunk(env, chunk, ended=np.zeros(env.num_envs, bool))
        observation = outcome.next_observation
        steps += int(outcome.steps.sum())
        if outcome.ended.any():
            outcomes += outcome.success[outcome.ended].tolist()
            observation, _ = env.reset(options={"reset_mask": outcome.ended})
            rig.reset(np.flatnonzero(outcome.ended))
            teacher.reset(np.flatnonzero(outcome.ended))
    learner.add(views, labels)
    return (float(np.mean(outcomes)) if outcomes else 0.0), steps
