"""How wrong a world model is, and whether it knows: on the current policy's held-out data against the whole buffer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from expertgen.dynamics.model import DynamicsModel
from expertgen.dynamics.transitions import Transitions
from expertgen.errors import UsageError

_BUFFER_ROWS = 2000
"""Rows of the buffer, drawn at random, that a report looks at."""

COVERAGES = (0.5, 0.8, 0.95)
"""Shares of the predictive distribution whose central intervals are compared with the data."""


@dataclass(frozen=True)
class Calibration:
    """Whether predictions spread as the data do.

    Attributes:
        squared_residual: `[targets]`, mean of ((truth - predictive mean) / predictive deviation)²: 1 if calibrated,
            more if the model is too sure of itself.
        observed: `[coverages, targets]`, share of the data within the central intervals of `COVERAGES`.
    """

    squared_residual: Float[Tensor, " targets"]
    observed: Float[Tensor, "coverages targets"]


def target_variance(transitions: Transitions) -> Float[Tensor, " targets"]:
    """The variance of a step's change and of the reward: the unit of all errors here, to be taken from one data set."""
    change = transitions.next_observation - transitions.observation
    return _columns(change, transitions.reward).double().var(dim=0, correction=0).clamp(min=1e-12).float()


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
    observed = [((rank - 0.5).abs() <= coverage / 2).float().mean(dim=0) for coverage in COVERAGES]
    residual = (truth - drawn.mean(dim=0)) / deviation
    return Calibration(residual.square().mean(dim=0), torch.stack(observed))


def error_report(
    model: DynamicsModel,
    buffer: Transitions,
    on_policy: Transitions,
    generator: torch.Generator,
    horizon: int = 5,
    num_envs: int = 1,
) -> dict[str, float]:
    """Errors and calibration as numbers to log, on buffer data and on held-out data of the current policy.

    Means over targets are geometric, so that no single one rules them. Errors are in parts of the buffer's variance.

    Args:
        model: a trained model.
        buffer: what it was trained on.
        on_policy: newer data, which it has not seen, in the order of experience.
        generator: source of samples.
        horizon: steps of the open-loop error; left out where no episode of the new data is as long.
        num_envs: environments that gave their rows in turn.
    """
    unit = target_variance(buffer)
    drawn = torch.randperm(len(buffer), generator=generator)[:_BUFFER_ROWS].to(buffer.reward.device)
    numbers: dict[str, float] = {}
    for name, data in (("buffer", buffer[drawn]), ("on_policy", on_policy)):
        calibrated = calibration(model, data, generator)
        numbers[f"{name}/error"] = _geometric(one_step_error(model, data, unit))
        numbers[f"{name}/squared_residual"] = _geometric(calibrated.squared_residual)
        for coverage, observed in zip(COVERAGES, calibrated.observed.mean(dim=1).tolist(), strict=True):
            numbers[f"{name}/coverage_{coverage:g}"] = observed
    if len(window_starts(on_policy, horizon, num_envs)):
        last = open_loop_error(model, on_policy, unit, horizon, num_envs)[-1]
        numbers[f"on_policy/error_{horizon}_steps"] = _geometric(last)
    numbers["on_policy/error_over_buffer"] = numbers["on_policy/error"] / numbers["buffer/error"]
    return numbers


def _elite_mean(model: DynamicsModel, observation: Tensor, action: Tensor) -> Tensor:
    state, reward = model.expectation(observation, action, model.elites)
    return _columns(state.mean(dim=0), reward.mean(dim=0))


def _columns(state: Tensor, reward: Tensor) -> Tensor:
    return torch.cat([state, reward[:, None]], dim=1)


def _geometric(values: Tensor) -> float:
    return float(values.clamp(min=1e-12).log().mean().exp())
