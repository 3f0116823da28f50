"""The part that every backbone shares: real data, their weights, and a world model that learns from both."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from expertgen.dynamics.model import DynamicsModel
from expertgen.dynamics.reports import error_report, target_variance
from expertgen.dynamics.termination import LearnedTermination, Termination, check_termination
from expertgen.dynamics.training import ModelTrainer, ModelTrainingConfig, Objective
from expertgen.dynamics.transitions import TransitionBuffer, Transitions
from expertgen.dynamics.weighting.check import checked
from expertgen.dynamics.weighting.interface import Policy, Weighting
from expertgen.errors import UsageError
from expertgen.mbrl.rollouts import draw_starts
from expertgen.runs.checkpoint import load_module, with_prefix, without_prefix
from expertgen.runs.progress import StageProgress

OPEN_LOOP_STEPS = 5
"""Steps after which the open-loop error is logged."""

_BUFFER_ROWS = 2000
"""Rows of older data, drawn at random from the holdout, on which the error is measured at most."""


class ModelLearner:
    """A buffer of real transitions and a model that is refreshed from it, again and again.

    Args:
        model: what learns.
        training: how.
        weighting: how much each transition counts.
        generator: source of the weighting's random numbers; whoever runs the loop begins it anew for each segment.
        termination: when imagined episodes end: a rule, or a classifier, which then learns, too.
        capacity: transitions kept.
        seed: of holdout and bootstrap samples.
        folder: where a batch is dumped that is not finite.
        device: torch device.
        weight_model: weights count in the model's training.
        weight_starts: weights count in the choice of start states.

    Attributes:
        buffer: the real transitions.
        weights: of its rows, from the last refresh.
    """

    def __init__(
        self,
        model: DynamicsModel,
        training: ModelTrainingConfig,
        weighting: Weighting,
        generator: torch.Generator,
        termination: Termination | LearnedTermination,
        capacity: int,
        seed: int,
        folder: Path,
        device: str = "cpu",
        weight_model: bool = True,
        weight_starts: bool = True,
    ) -> None:
        if not weight_model and not weight_starts and weighting.name != "uniform":
            raise UsageError(f"the {weighting.name} weighting is to weigh neither the model's data nor rollout starts")
        self.model = model.to(device)
        self.trainer = ModelTrainer(self.model, training, seed)
        self.weighting = weighting
        self.generator = generator
        self.termination = termination
        self.weight_model, self.weight_starts = weight_model, weight_starts
        self.folder = folder
        observation_size = model.targets - 1
        action_size = len(model.input_scale.mean) - observation_size
        self.buffer = TransitionBuffer(capacity, observation_size, action_size, device)
        self.weights = torch.ones(0, device=device)
        self._fresh = self._refreshes = 0

    def add(self, transitions: Transitions, first: Bool[Tensor, " batch"]) -> None:
        """Adds real transitions; see `TransitionBuffer.add`."""
        self.buffer.add(transitions, first)
        self._fresh += len(transitions)

    def refresh(
        self, policy: Policy, generator: torch.Generator, objective: Objective | None = None
    ) -> Generator[StageProgress, None, dict[str, float]]:
        """Weighs all data for the present policy and trains the model on them.

        Args:
            policy: the present policy.
            generator: source of the batches, on the CPU.
            objective: what the model minimises; its own loss by default.

        Yields:
            progress of the model's training.

        Returns:
            figures to log: the model's error on the newest data, before it learns from them, and on older ones; its
            training; the health of the weights.

        Raises:
            UsageError: naming the weighting, if its weights cannot be used.
            TrainingError: if a loss is not finite.
        """
        transitions = self.buffer.all()
        figures = self._errors(generator) if self._refreshes else {}
        if not self._refreshes:
            self.model.fit_normalizers(transitions)  # a weighting may ask the model for its errors
        weights = self.weighting.fit(transitions, policy, self.buffer.starts())
        self.weights = checked(weights, len(transitions), self.weighting.name)
        if isinstance(self.termination, LearnedTermination):
            self.termination.fit(transitions, generator)
        trained = yield from self.trainer.train(
            transitions, generator, self.folder, self.weights if self.weight_model else None, objective
        )
        self._refreshes += 1
        self._fresh = 0
        health = {f"weights_{name}": value for name, value in self.weighting.health.items()}
        return figures | {f"model_{name}": value for name, value in trained.items()} | health

    def starts(self, count: int, generator: torch.Generator) -> Float[Tensor, "count observation"]:
        """Draws start states from the data of the last refresh, by weight where weights are to count for that."""
        weights = self.weights if self.weight_starts else torch.ones_like(self.weights)
        return draw_starts(self.buffer.all().observation[: len(weights)], weights, count, generator)

    def check(self, count: int) -> None:
        """Compares a termination rule with the newest `count` real transitions (TrainingError if it is wrong)."""
        if not isinstance(self.termination, LearnedTermination):
            check_termination(self.termination, self.buffer.newest(count))

    def _errors(self, generator: torch.Generator) -> dict[str, float]:
        """Errors and calibration on what the model did not train on; see `error_report`."""
        transitions, newest = self.buffer.all(), self.buffer.newest(self._fresh)
        older = transitions[torch.arange(len(transitions) - len(newest), device=transitions.reward.device)]
        order = torch.randperm(len(older), generator=generator).to(transitions.reward.device)
        held = order[self.trainer.held_out(older)[order]][:_BUFFER_ROWS]
        samples = torch.Generator(transitions.reward.device).manual_seed(self._refreshes)
        return error_report(self.model, newest, older[held], target_variance(transitions), samples, OPEN_LOOP_STEPS)

    def state(self) -> dict[str, Tensor]:
        """Everything that the next refresh continues from, as named tensors."""
        counts = {"counts": torch.tensor([self._fresh, self._refreshes])}
        parts = {"buffer": self.buffer.state(), "trainer": self.trainer.state(), "weighting": self.weighting.state()}
        if isinstance(self.termination, LearnedTermination):
            parts["termination"] = self.termination.state_dict()
        for name, tensors in parts.items():
            counts |= with_prefix(name, tensors)
        return counts

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`; `path` is named if a tensor is missing or of another shape (FileError)."""
        self.buffer.load_state(without_prefix("buffer", tensors), path)
        self.trainer.load_state(without_prefix("trainer", tensors), path)
        self.weighting.load_state(without_prefix("weighting", tensors), path)
        if isinstance(self.termination, LearnedTermination):
            load_module(self.termination, without_prefix("termination", tensors), path)
        self._fresh, self._refreshes = tensors["counts"].tolist()
