"""Weightings and objectives by name: what a comparison swaps, with everything else left as it is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.dynamics.model import DynamicsModel
from expertgen.dynamics.training import Objective
from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting.density_ratio import DensityRatio, DensityRatioConfig
from expertgen.dynamics.weighting.discriminator import Discriminator
from expertgen.dynamics.weighting.interface import Limits, Weighting
from expertgen.dynamics.weighting.occupancy import OccupancyConfig, OccupancyMatching
from expertgen.dynamics.weighting.pdml import Pdml
from expertgen.dynamics.weighting.pmer import Pmer
from expertgen.dynamics.weighting.recency import Recency
from expertgen.dynamics.weighting.uniform import Uniform
from expertgen.dynamics.weighting.vagram import Values, value_gradient_loss, value_gradients

WeightingName = Literal["uniform", "recency", "pdml", "pmer", "discriminator", "tom-chi2", "tom-kl", "vagram"]
"""`vagram` is an objective: its weighting is the uniform one."""


def make_weighting(
    name: WeightingName,
    model: DynamicsModel,
    generator: torch.Generator,
    *,
    recency_scale: float = 5_000.0,
    ratio: DensityRatioConfig | None = None,
    occupancy: OccupancyConfig | None = None,
    limits: Limits | None = None,
) -> Weighting:
    """Makes a weighting.

    Args:
        name: which.
        model: the model whose data it weighs.
        generator: source of every random number of it (its device is the networks').
        recency_scale: age at which a weight of `recency` has fallen to 1/e, in transitions.
        ratio: the discriminator of `discriminator` and `tom-*`.
        occupancy: of `tom-*`; the name decides its divergence.
        limits: largest weight and mixing, of those above and of `pmer`.
    """
    observation_size = model.targets - 1
    action_size = len(model.input_scale.mean) - observation_size
    limits = limits or Limits()
    match name:
        case "uniform" | "vagram":
            return Uniform()
        case "recency":
            return Recency(recency_scale)
        case "pdml":
            return Pdml(generator)
        case "pmer":
            return Pmer(partial(squared_error, model), limits=limits)
    density = DensityRatio(observation_size, action_size, ratio or DensityRatioConfig(), generator)
    if name == "discriminator":
        return Discriminator(density, limits)
    config = replace(occupancy or OccupancyConfig(), divergence="kl" if name == "tom-kl" else "chi2")
    return OccupancyMatching(observation_size, action_size, config, density, generator, limits)


@torch.no_grad()
def squared_error(model: DynamicsModel, transitions: Transitions) -> Float[Tensor, " rows"]:
    """Squared error of the elites' mean prediction, averaged over standardised targets, of each transition."""
    errors = []
    for rows in torch.arange(len(transitions), device=transitions.reward.device).split(1024):
        part = transitions[rows]
        mean = model.mean(model(part.observation, part.action, model.elites)).mean(dim=0)
        errors.append((mean - model.target(part)).square().mean(dim=-1))
    return torch.cat(errors)


def value_gradient_objective(values: Values) -> Objective:
    """VaGraM: the model's errors count along the gradient of these values; see `weighting.vagram`.

    Args:
        values: of an agent's critics, in the unit of rewards.
    """

    def objective(model: DynamicsModel, batch: Transitions) -> Float[Tensor, "members batch"]:
        members, rows = batch.reward.shape
        gradients = value_gradients(values, batch.next_observation.flatten(0, 1)).unflatten(1, (members, rows))
        predicted, reward = model.expectation(batch.observation, batch.action)
        return value_gradient_loss(gradients, predicted, batch.next_observation, reward, batch.reward)

    return objective
