"""How wrong a world model is, and whether it knows: on the current policy's held-out data against the whole buffer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from expertgen.dynamics.model import DynamicsModel
from expertgen.dynamics.transitions import Transitions
from expertgen.errors import UsageError

_KNOWN = 1e-6
"""Error, in parts of a target's variance, below which it counts as known."""

COVERAGE = 0.8
"""Share of the predictive distribution whose central interval is compared with the data."""


@dataclass(frozen=True)
class Calibration:
    """Whether predictions spread as the data do.

    Attributes:
        squared_residual: `[targets]`, mean of ((truth - predictive mean) / predictive deviation)²: 1 if calibrated,
            more if the model is too sure of itself.
        observed: `[targets]`, share of the data within the central interval that is to hold `COVERAGE` of them.
    """

    squared_residual: Float[Tensor, " targets"]
    observed: Float[Tensor, " targets"]


def target_variance(transitions: Transitions) -> Float[Tensor, " targets"]:
    """The variance of a step's change and of the reward: the unit of all errors here, to be taken from one data set."""
    change = transitions.next_observation - transitions.observation
    variance = _columns(change, transitions.reward).double().var(dim=0, correction=0)
    return torch.where(variance > 1e-12, variance, 1.0).float()  # a constant is in units of its own, as in the model


@torch.no_grad()
def one_step_error(
    model: DynamicsModel, transitions: Transitions, unit: Float[Tensor, " targets"]
) -> Float[Tensor, " targets"]:
    """Mean squared error of the elites' mean prediction, per target (reward last), in parts of `unit`.

    Args:
        model: a trained model.
        transitions: what it did not train on.
        unit: from `target_variance`.
    """
    prediction = _elite_mean(model, transitions.observation, transitions.action)
    truth = _columns(transitions.next_observation, transitions.reward)
    return (prediction - truth).square().mean(dim=0) / unit


@torch.no_grad()
def open_loop_error(
    model: DynamicsModel, transitions: Transitions, unit: Float[Tensor, " targets"], horizon: int, num_envs: int = 1
) -> Float[Tensor, "horizon targets"]:
    """Mean squared error after 1 ... `horizon` steps of the elites' mean prediction, with the recorded actions.

    In the unit of one step's change: errors of h steps that add up evenly are h² times that of one.

    Args:
        model: a trained model.
        transitions: in the order of experience; windows never cross the end of an episode.
        unit: from `target_variance`.
        horizon: steps.
        num_envs: environments that gave their rows in turn.

    Raises:
        UsageError: if no episode in the data is as long as the horizon.
    """
    row = window_starts(transitions, horizon, num_envs)
    if not len(row):
        raise UsageError(
            f"no episode among {len(transitions)} transitions is as long as the horizon of {horizon} steps"
        )
    observation = transitions.observation[row]
    errors = []
    for step in range(horizon):
        true = transitions[row + step * num_envs]
        prediction = _elite_mean(model, observation, true.action)
        errors.append((prediction - _columns(true.next_observation, true.reward)).square().mean(dim=0) / unit)
        observation = prediction[:, :-1]
    return torch.stack(errors)


def window_starts(transitions: Transitions, horizon: int, num_envs: int = 1) -> Int[Tensor, " windows"]:
    """Rows from which `horizon` steps of one episode follow: each step begins with what the last one ended with."""
    count = len(transitions) - (horizon - 1) * num_envs
    if count <= 0:
        return torch.empty(0, dtype=torch.long, device=transitions.reward.device)
    ended = (transitions.terminated | transitions.truncated)[: len(transitions) - num_envs]
    follows = (transitions.next_observation[:-num_envs] == transitions.observation[num_envs:]).all(dim=-1) & ~ended
    whole = torch.ones(count, dtype=torch.bool, device=transitions.reward.device)
    for step in range(horizon - 1):
        whole &= follows[step * num_envs : step * num_envs + count]
    return torch.nonzero(whole).flatten()


def calibration(
    model: DynamicsModel, transitions: Transitions, generator: torch.Generator, samples: int = 100
) -> Calibration:
    """Compares the predictive distribution over all elites, by samples, with what happened.

    Args:
        model: a trained model.
        transitions: what it did not train on.
        generator: source of the samples.
        samples: draws for each transition.
    """
    drawn = torch.stack(
        [_columns(*model.predict(transitions.observation, transitions.action, generator)) for _ in range(samples)]
    )
    truth = _columns(transitions.next_observation, transitions.reward)
    deviation = drawn.std(dim=0).clamp(min=1e-9)
    rank = (drawn < truth).float().mean(dim=0)
    observed = ((rank - 0.5).abs() <= COVERAGE / 2).float().mean(dim=0)
    residual = (truth - drawn.mean(dim=0)) / deviation
    return Calibration(residual.square().mean(dim=0), observed)


def error_report(
    model: DynamicsModel,
    newest: Transitions,
    older: Transitions,
    unit: Float[Tensor, " targets"],
    generator: torch.Generator,
    horizon: int = 5,
    num_envs: int = 1,
) -> dict[str, float]:
    """Errors and calibration as numbers to log, on held-out data of the current policy and of older ones.

    Means over targets are geometric, so that no single one rules them.

    Args:
        model: a trained model.
        newest: data that it has not seen, in the order of experience.
        older: older data that it did not train on.
        unit: from `target_variance`.
        generator: source of samples.
        horizon: steps of the open-loop error; left out where no episode of the new data is as long.
        num_envs: environments that gave their rows in turn.
    """
    numbers: dict[str, float] = {}
    for name, data in (("newest", newest), ("buffer", older)):
        if len(data):
            calibrated = calibration(model, data, generator)
            numbers[f"error_{name}"] = geometric_mean(one_step_error(model, data, unit))
            numbers[f"residual_{name}"] = geometric_mean(calibrated.squared_residual)
            numbers[f"coverage_{name}"] = float(calibrated.observed.mean())
    if len(window_starts(newest, horizon, num_envs)):
        last = open_loop_error(model, newest, unit, horizon, num_envs)[-1]
        numbers[f"error_newest_{horizon}_steps"] = geometric_mean(last)
    return numbers


def _elite_mean(model: DynamicsModel, observation: Tensor, action: Tensor) -> Tensor:
    state, reward = model.expectation(observation, action, model.elites)
    return _columns(state.mean(dim=0), reward.mean(dim=0))


def _columns(state: Tensor, reward: Tensor) -> Tensor:
    return torch.cat([state, reward[:, None]], dim=1)


def geometric_mean(values: Tensor) -> float:
    """The geometric mean over targets, so that no single one rules it, not even a constant one, known exactly."""
    return float((values + _KNOWN).log().mean().exp())
