"""Regression of a student on labelled decisions, and the saving of all that it has learned and been shown so far."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Generator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.distillation.student import Student, StudentSpec, View
from expertgen.errors import TrainingError
from expertgen.runs.averaging import update_average
from expertgen.runs.checkpoint import (
    load_checkpoint,
    load_module,
    load_optimizer,
    optimizer_tensors,
    save_checkpoint,
    with_prefix,
    without_prefix,
)

KIND, VERSION = "distillation-state", 1
_REPORT_EVERY = 20


class Learner:
    """A student in training: its weights, their running average, the optimizer, and the data set.

    Args:
        spec: the student's inputs, outputs and size.
        seed: seed of its first weights.
        batch_size: decisions in a gradient step.
        augment: draws what a gradient step sees of a batch of views.
        weight_decay: AdamW's weight decay.
        ema_rate: rate of the running average.
        device: torch device.

    Attributes:
        average: the student with averaged weights: the one that plays and is kept.
        updates: gradient steps done.
        decisions: size of the data set.
    """

    def __init__(
        self,
        spec: StudentSpec,
        seed: int,
        batch_size: int,
        augment: Callable[[View, torch.Generator], View],
        weight_decay: float,
        ema_rate: float,
        device: str = "cpu",
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.average = Student(spec).requires_grad_(False).eval().to(device)
        self._student = copy.deepcopy(self.average).requires_grad_(True).train()
        self._optimizer = torch.optim.AdamW(self._student.parameters(), weight_decay=weight_decay, fused=True)
        self._batch_size = batch_size
        self._augment = augment
        self._ema_rate = ema_rate
        self._device = device
        self._views: View = {}
        self._chunks = torch.empty(0, spec.chunk_length, spec.action_size, device=device)
        self.updates = 0

    @property
    def decisions(self) -> int:
        """Labelled decisions so far."""
        return len(self._chunks)

    def add(self, views: list[View], chunks: list[Float[Tensor, "n horizon action"]]) -> None:
        """Adds labelled decisions to the data set; the first ones also set the normaliser of the proprioception."""
        new = {name: torch.cat([view[name] for view in views]).to(self._device) for name in views[0]}
        if not self.decisions:
            for student in (self._student, self.average):
                student.normalizer.load_state_dict(type(student.normalizer).fit(new["proprioception"]).state_dict())
        self._views = {
            name: torch.cat([self._views[name], part]) if self._views else part for name, part in new.items()
        }
        self._chunks = torch.cat([self._chunks, torch.cat(chunks).to(self._device)])

    def train(
        self, updates: int, learning_rate: Callable[[int], float], generator: torch.Generator, folder: Path
    ) -> Generator[float, None, None]:
        """Does gradient steps on the L1 distance to the labels, on batches drawn from the whole data set.

        Args:
            updates: how many.
            learning_rate: of the n-th gradient step, counted from 0.
            generator: source of the batches.
            folder: where to dump a batch whose loss is not finite.

        Yields:
            the mean loss of the last gradient steps, now and then.

        Raises:
            TrainingError: if the loss is not finite.
        """
        losses = []
        for step in range(1, updates + 1):
            view, chunk = self._batch(generator)
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate(self.updates)
            loss = (self._student(view) - chunk).abs().mean()
            losses.append(loss.detach())
            if not math.isfinite(losses[-1]):
                dump = folder / "bad_batch.safetensors"
                save_checkpoint(dump, "bad-batch", 1, {**view, "chunk": chunk}, {"update": self.updates})
                raise TrainingError(
                    f"the student's loss is not finite at update {self.updates}; its batch is in {dump}"
                )
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            update_average(self.average, self._student, self._ema_rate)
            self.updates += 1
            if step % _REPORT_EVERY == 0 or step == updates:
                yield float(torch.stack(losses).mean())
                losses.clear()

    def save(self, path: Path, **counters: int) -> None:
        """Saves everything that later steps depend on."""
        tensors = (
            with_prefix("student", self._student.state_dict())
            | with_prefix("average", self.average.state_dict())
            | with_prefix("optimizer", optimizer_tensors(self._optimizer))
            | with_prefix("view", self._views)
            | {"chunks": self._chunks}
        )
        save_checkpoint(path, KIND, VERSION, tensors, {"updates": self.updates, **counters})

    def load(self, path: Path) -> dict[str, int]:
        """Restores what `save` wrote and returns its counters.

        Raises:
            FileError: if the file is truncated, of another kind, version or shape.
        """
        tensors, counters = load_checkpoint(path, KIND, VERSION)
        load_module(self._student, without_prefix("student", tensors), path)
        load_module(self.average, without_prefix("average", tensors), path)
        load_optimizer(self._optimizer, without_prefix("optimizer", tensors))
        self._views = {name: part.to(self._device) for name, part in without_prefix("view", tensors).items()}
        self._chunks = tensors["chunks"].to(self._device)
        self.updates = counters.pop("updates")
        return counters

    def _batch(self, generator: torch.Generator) -> tuple[View, Float[Tensor, "batch horizon action"]]:
        rows = torch.randint(self.decisions, (self._batch_size,), generator=generator)
        view = {name: part[rows] for name, part in self._views.items()}
        return self._augment(view, generator), self._chunks[rows]
