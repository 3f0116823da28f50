"""Training a world model again and again on a growing buffer, with weights for its rows.

Everything that must stay the same from one event to the next is a function of a row's own bits: whether it belongs to
the holdout, and how often it counts in each member's bootstrap sample (a Poisson number of mean 1, the limit of drawing
n of n rows with replacement). So no member is ever tested on what it was trained on, whatever the buffer has dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from expertgen.dynamics.model import DynamicsModel
from expertgen.dynamics.transitions import Transitions
from expertgen.errors import TrainingError, UsageError
from expertgen.runs.checkpoint import (
    load_module,
    load_optimizer,
    optimizer_tensors,
    save_checkpoint,
    with_prefix,
    without_prefix,
)
from expertgen.runs.progress import StageProgress
from expertgen.runs.ranges import Count, NotNegative, Positive, check_ranges
from expertgen.runs.seeding import derive_seed, torch_generator

Objective = Callable[[DynamicsModel, Transitions], Tensor]
"""What training minimises, `[members, batch]`, of a batch `[members, batch, ...]`."""

_EVALUATED = 1024
"""Holdout rows evaluated at a time."""

_ERROR_FLOOR = 1e-6
"""Squared error, in squared deviations, below which a target counts as known: a constant one would rule the mean."""


@dataclass(frozen=True)
class ModelTrainingConfig:
    """Training of a world model."""

    batch_size: Count = 256
    """Rows of a gradient step, for each member."""
    learning_rate: Positive = 1e-3
    """Adam's learning rate."""
    weight_decay: NotNegative = 1e-5
    """Coefficient of half the squared weights in the loss."""
    gradient_bound: Positive = 100.0
    """Longest gradient of a member: an impact that no member thought possible must not undo what it has learned."""
    holdout: float = 0.1
    """Share of the rows that is kept for early stopping and the choice of elites."""
    bootstrap: bool = True
    """Each member trains on a bootstrap sample of its own; otherwise on all rows."""
    weights: Literal["loss", "sampling"] = "loss"
    """Weights multiply the loss of a row, or the probability that it is drawn."""
    weighted_holdout: bool = True
    """Weights count in the holdout error, too: without, early stopping can undo what the weights ask for."""
    min_epoch_steps: Count = 50
    """Gradient steps between two looks at the holdout, at least; else one pass over the data."""
    max_steps: Count = 600
    """Gradient steps of one event, at most."""
    patience: Count = 5
    """Epochs without an improvement after which an event ends."""
    improvement: float = 0.01
    """Relative decrease of a member's holdout error that counts as an improvement."""

    def __post_init__(self) -> None:
        check_ranges(self, "training")
        for name in ("holdout", "improvement"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(f"training.{name} must lie in (0, 1), not {getattr(self, name)}")


class ModelTrainer:
    """The optimizer of a model, and its training events.

    Args:
        model: what is trained; every parameter's first dimension is the member.
        config: options.
        seed: of the holdout and of the bootstrap samples.
    """

    def __init__(self, model: DynamicsModel, config: ModelTrainingConfig, seed: int) -> None:
        self.model = model
        self.config = config
        self.seed = seed
        self._optimizer = torch.optim.Adam(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )

    def held_out(self, transitions: Transitions) -> Bool[Tensor, " rows"]:
        """Which rows are kept for early stopping, and never trained on; a row is, or is not, for ever."""
        return row_uniforms(transitions, self.seed, 1)[0] < self.config.holdout

    def train(
        self,
        transitions: Transitions,
        generator: torch.Generator,
        folder: Path,
        weights: Float[Tensor, " rows"] | None = None,
        objective: Objective | None = None,
    ) -> Generator[StageProgress, None, dict[str, float]]:
        """One event: trains on all rows from the present weights, and keeps each member's best ones on the holdout.

        A row of weight 0 counts as not there.

        Args:
            transitions: all data, `[rows, ...]`.
            generator: source of the batches.
            folder: where a batch is dumped whose loss is not finite.
            weights: of the rows, non-negative; 1 for each row by default.
            objective: what is minimised; the model's own loss by default.

        Yields:
            progress after each epoch.

        Returns:
            steps done, the last epoch's loss, and the elites' holdout error, before and after.

        Raises:
            UsageError: if weights do not fit the rows, or there are too few rows.
            TrainingError: if a loss is not finite; its batch is in `folder/bad_batch.safetensors`.
        """
        config, model = self.config, self.model
        weights = self._checked(weights, transitions)
        held = self.held_out(transitions)
        present = weights > 0
        holdout_rows, rows = held & (present | (not config.weighted_holdout)), ~held & present
        if not (holdout_rows.any() and rows.any()):
            raise UsageError(f"a world model needs more transitions than {len(transitions)} to train and to hold out")
        holdout, holdout_weights = transitions[holdout_rows], weights[holdout_rows]
        if not config.weighted_holdout:
            holdout_weights = torch.ones_like(holdout_weights)
        train, weights = transitions[rows], weights[rows] / weights[rows].mean()
        model.fit_normalizers(train)

        counts = (
            bootstrap_counts(train, self.seed, model.members)
            if config.bootstrap
            else weights.new_ones(model.members, len(train))
        )
        in_loss = config.weights == "loss"
        cumulative = (counts if in_loss else counts * weights).double().cumsum(dim=1)
        factors = weights if in_loss else torch.ones_like(weights)
        best = Best(model, holdout, holdout_weights, objective)
        first = reference = best.error
        done = stale = 0
        losses: list[float] = []
        while done < config.max_steps and stale < config.patience:
            epoch = max(config.min_epoch_steps, math.ceil(len(train) / config.batch_size))
            epoch = min(epoch, config.max_steps - done)
            losses = [
                self.step(train[batch], factors[batch], objective, folder)
                for batch in draw_rows(cumulative, epoch * config.batch_size, generator).split(config.batch_size, 1)
            ]
            done += epoch
            best.update()
            improved = reference - best.error > config.improvement * reference.abs()
            stale = 0 if improved.any() else stale + 1
            reference = torch.where(improved, best.error, reference)
            shown = {"loss": sum(losses) / epoch, "holdout": float(best.error.mean())}
            yield StageProgress("model", done, config.max_steps, "steps", shown)
        best.restore()
        model.elites.copy_(best.error.argsort()[: len(model.elites)])
        return {
            "steps": float(done),
            "loss": sum(losses) / len(losses),
            "holdout_before": float(first[model.elites].mean()),
            "holdout": float(best.error[model.elites].mean()),
        }

    def step(
        self, batch: Transitions, factors: Float[Tensor, "members batch"], objective: Objective | None, folder: Path
    ) -> float:
        """One gradient step on a batch `[members, B, ...]` whose losses are multiplied by `factors` `[members, B]`.

        Returns:
            the mean loss of the members.

        Raises:
            TrainingError: if it is not finite; the batch is dumped to `folder`.
        """
        per_sample = objective(self.model, batch) if objective else self.model.loss(batch)
        # Summed over members: they share no parameter, so each has the gradient of its own mean.
        loss = (factors * per_sample).mean(dim=1).sum()
        value = loss.item() / self.model.members
        if not math.isfinite(value):
            dump = folder / "bad_batch.safetensors"
            save_checkpoint(dump, "bad-batch", 1, batch.tensors() | {"weight": factors}, {})
            raise TrainingError(f"the world model's loss is not finite; its batch is in {dump}")
        self._optimizer.zero_grad()
        loss.backward()
        shorten_gradients(list(self.model.parameters()), self.config.gradient_bound)
        self._optimizer.step()
        return value

    def state(self) -> dict[str, Tensor]:
        """Model and optimizer, as named tensors."""
        return with_prefix("model", self.model.state_dict()) | with_prefix(
            "optimizer", optimizer_tensors(self._optimizer)
        )

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`.

        Raises:
            FileError: naming `path`, if a tensor is missing or of another shape.
        """
        load_module(self.model, without_prefix("model", tensors), path)
        load_optimizer(self._optimizer, without_prefix("optimizer", tensors))

    def _checked(self, weights: Tensor | None, transitions: Transitions) -> Tensor:
        if weights is None:
            return torch.ones_like(transitions.reward)
        if weights.shape != transitions.reward.shape:
            raise UsageError(f"{len(weights)} weights were given for {len(transitions)} transitions")
        if not bool((weights.isfinite() & (weights >= 0)).all()):
            raise UsageError("weights of transitions must be finite and not negative")
        return weights


@torch.no_grad()
def shorten_gradients(parameters: list[torch.nn.Parameter], bound: float) -> None:
    """Shortens each member's gradient to `bound`; the parameters' first dimension is the member."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    lengths = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients])
    factor = bound / torch.linalg.vector_norm(lengths, dim=0).clamp(min=bound)
    if (factor < 1).any():
        for gradient in gradients:
            gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))


class Best:
    """The best weights of each member so far, by its error on the holdout.

    Attributes:
        error: `[members]`, the lowest error of each.
    """

    def __init__(
        self,
        model: DynamicsModel,
        holdout: Transitions,
        weights: Float[Tensor, " rows"],
        objective: Objective | None = None,
    ) -> None:
        self._model, self._holdout = model, (holdout, weights, objective)
        self._parameters = [parameter.detach().clone() for parameter in model.parameters()]
        self.error = holdout_error(model, *self._holdout)

    @torch.no_grad()
    def update(self) -> None:
        """Keeps the present weights of the members that have become better."""
        error = holdout_error(self._model, *self._holdout)
        better = error < self.error
        self.error = torch.where(better, error, self.error)
        for kept, parameter in zip(self._parameters, self._model.parameters(), strict=True):
            kept[better] = parameter[better]

    @torch.no_grad()
    def restore(self) -> None:
        """Puts the best weights back into the model."""
        for kept, parameter in zip(self._parameters, self._model.parameters(), strict=True):
            parameter.copy_(kept)


@torch.no_grad()
def holdout_error(
    model: DynamicsModel, holdout: Transitions, weights: Float[Tensor, " rows"], objective: Objective | None = None
) -> Float[Tensor, " members"]:
    """The geometric mean over rows and targets of the squared error, of each member, in squared deviations.

    With an objective of its own a model is judged by that: by its mean, since it may be negative.

    An arithmetic mean is ruled by what cannot be predicted: over targets, by one with heavy tails; over rows, by a few
    impacts among hundreds of smooth steps. Either would hide all progress elsewhere, and early stopping would put the
    old weights back, event after event.
    """
    total = torch.zeros(model.members, device=weights.device)
    for rows in torch.arange(len(holdout), device=weights.device).split(_EVALUATED):
        part = holdout[rows]
        if objective is None:
            residual = model.mean(model(part.observation, part.action)) - model.target(part)
            error = (residual.square() + _ERROR_FLOOR).log().mean(dim=-1)
        else:
            same = {name: tensor.expand(model.members, *tensor.shape) for name, tensor in part.tensors().items()}
            error = objective(model, Transitions(**same))
        total += error @ weights[rows]
    mean = total / weights.sum()
    return mean.exp() if objective is None else mean


def draw_rows(
    cumulative: Float[Tensor, "members rows"], count: int, generator: torch.Generator
) -> Int[Tensor, "members count"]:
    """Draws rows for each member, in random order, in proportion to their weights.

    By stratified inversion: the unit interval is cut into `count` parts, and each gives one point. A row of probability
    p is drawn `count · p` times up to one, so uniform weights go through the data almost without repetition.

    Args:
        cumulative: running sum of each member's weights, in float64.
        count: rows to draw.
        generator: source of the draw.
    """
    members = len(cumulative)
    part = torch.arange(count, device=generator.device)
    offset = torch.rand(members, count, generator=generator, device=generator.device, dtype=torch.float64)
    point = ((part + offset) / count).to(cumulative.device) * cumulative[:, -1:]
    rows = torch.searchsorted(cumulative, point, right=True).clamp(max=cumulative.shape[1] - 1)
    order = [torch.randperm(count, generator=generator, device=generator.device) for _ in range(members)]
    return rows.gather(1, torch.stack(order).to(rows.device))


def bootstrap_counts(transitions: Transitions, seed: int, members: int) -> Float[Tensor, "members rows"]:
    """How often each row counts in each member's bootstrap sample: Poisson numbers of mean 1, fixed for a row."""
    masses = torch.tensor([math.exp(-1) / math.factorial(k) for k in range(12)], dtype=torch.float64)
    uniform = row_uniforms(transitions, derive_seed(seed, "bootstrap"), members)
    return torch.searchsorted(masses.cumsum(0).to(uniform.device), uniform, right=True).float()


def row_uniforms(transitions: Transitions, seed: int, streams: int) -> Float[Tensor, "streams rows"]:
    """Numbers in [0, 1), in float64, that depend on a row's observation and action alone, not on its place.

    A multilinear hash of the bits, mixed as in SplitMix64 (Steele et al. 2014).
    """
    bits = torch.cat([transitions.observation, transitions.action], dim=1).view(torch.int32).long()
    generator = torch_generator(seed, "dynamics", "rows")
    odd = 2 * torch.randint(-(2**62), 2**62, (bits.shape[1] + streams,), generator=generator).to(bits.device) + 1
    mixed = (bits * odd[streams:]).sum(dim=1) + odd[:streams, None]
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ _shifted(mixed, shift)) * (factor - 2**64)
    return _shifted(mixed ^ _shifted(mixed, 31), 11).double() / 2**53


def _shifted(x: Tensor, bits: int) -> Tensor:
    """The unsigned right shift, which torch does not have for int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
