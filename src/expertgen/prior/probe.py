"""Probing a prior before steering it: is the noise really the only input, and does it change what happens?

A prior that ignores its noise cannot be steered, and one that adds fresh noise on the way cannot be steered reliably.
Both are found here in milliseconds instead of after a training run.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.errors import UsageError
from expertgen.evaluation.rollouts import run_episodes
from expertgen.prior.prior import Prior, PriorPolicy
from expertgen.runs.machine import available_cores
from expertgen.runs.progress import StageProgress
from expertgen.runs.seeding import derive_seed, torch_generator
from expertgen.tasks.registry import make_env
from expertgen.tasks.spec import TaskSpec

SPREAD_FLOOR = 1e-3
"""A prior whose chunks differ less than this over noise [action units] does not listen to its noise."""


def chunk_spread(
    prior: Prior, observation: Float[Tensor, "batch observation"], generator: torch.Generator, draws: int = 16
) -> float:
    """How much N(0, I) noise changes a planned action [action units].

    It is the standard deviation over noise, averaged over observations, steps and action dimensions.

    Args:
        prior: the prior.
        observation: raw observations `[B, D]`, e.g. from the demonstrations.
        generator: source of the noise (CPU).
        draws: noises per observation.
    """
    noise = torch.randn(draws, len(observation), *prior.noise_shape, generator=generator).to(observation.device)
    chunks = torch.stack([prior.decode(observation, one) for one in noise])
    return float(chunks.std(dim=0).mean())


def probe(prior: Prior, observation: Float[Tensor, "batch observation"], generator: torch.Generator) -> float:
    """Checks that a prior is deterministic in its noise, controllable by it, finite and within [-1, 1].

    Returns:
        its `chunk_spread`.

    Raises:
        UsageError: naming what the prior does wrong.
    """
    noise = torch.randn(len(observation), *prior.noise_shape, generator=generator).to(observation.device)
    chunk = prior.decode(observation, noise)
    if tuple(chunk.shape) != (len(observation), *prior.noise_shape):
        raise UsageError(
            f"the prior decodes noise {list(noise.shape)} into {list(chunk.shape)}; it must keep the shape"
        )
    if not bool(torch.isfinite(chunk).all()) or float(chunk.abs().max()) > 1:
        raise UsageError("the prior plans actions that are not finite or outside [-1, 1]; check its normaliser")
    if not torch.equal(chunk, prior.decode(observation, noise)):
        raise UsageError(
            "the prior gives two chunks for the same noise; use a deterministic sampler (DDIM with eta 0, or a flow)"
        )
    spread = chunk_spread(prior, observation, generator)
    if spread < SPREAD_FLOOR:
        raise UsageError(f"the prior ignores its noise (its chunks spread by {spread:.1e}); it cannot be steered")
    return spread


def search_constant_noise(
    task: TaskSpec, prior: Prior, seed: int, candidates: int = 64, episodes_each: int = 4, device: str = "cpu"
) -> Generator[StageProgress, None, tuple[Float[Tensor, "horizon action"], int]]:
    """Finds the best of many constant noises ("golden ticket", https://arxiv.org/abs/2603.15757), in two rounds.

    Every candidate plays `episodes_each` episodes in an environment of its own; the best eighth play as many again,
    eight times over. The result must be evaluated on other seeds: its own counts are the largest of many and therefore
    too good.

    Args:
        task: the task.
        prior: the prior.
        seed: seed of candidates and environments.
        candidates: constant noises tried; the first is drawn like the others, from N(0, I).
        episodes_each: episodes of each candidate in the first round.
        device: where the prior's weights are.

    Returns:
        the noise, and the control steps that the search took.
    """
    noise = torch.randn(candidates, *prior.noise_shape, generator=torch_generator(seed, "constant noise"))
    env_steps = 0
    finalists = max(1, candidates // 8)
    for number, repeats in enumerate((1, candidates // finalists)):
        players = noise.repeat_interleave(repeats, dim=0)
        policy = PriorPolicy(prior, noise=players, device=device)
        env_seed, plays = derive_seed(seed, "constant noise", number), episodes_each * len(players)
        with closing(make_env(task, len(players), threads=available_cores())) as env:
            episodes = yield from run_episodes(env, policy, plays, env_seed, stage="constant noise")
        wins = np.zeros(len(noise))
        for episode in episodes:
            wins[episode.env // repeats] += episode.success
            env_steps += episode.steps
        noise = noise[np.argsort(-wins, kind="stable")[:finalists].copy()]
    return noise[0], env_steps
