"""Diffusion over action chunks as pure functions: schedule, training loss, deterministic sampler.

Sources: DDPM (Ho et al. 2020, https://arxiv.org/abs/2006.11239), the cosine schedule (Nichol & Dhariwal 2021,
https://arxiv.org/abs/2102.09672), DDIM (Song et al. 2020, https://arxiv.org/abs/2010.02502), trailing timesteps (Lin
et al. 2023, https://arxiv.org/abs/2305.08891). Chunks lie in [-1, 1] and are written x_0;
x_t = sqrt(ᾱ_t) x_0 + sqrt(1 - ᾱ_t) ε.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

Chunk = Float[Tensor, "batch horizon action"]
NoisePredictor = Callable[[Tensor, Chunk, Int[Tensor, " batch"]], Chunk]
"""ε_θ(observation, x_t, t)."""


def cosine_schedule(levels: int) -> Float[Tensor, " levels"]:
    """Cumulative signal shares ᾱ_t of the cosine schedule, from t = 0 (almost clean) to `levels - 1` (almost noise).

    Nichol & Dhariwal 2021, eq. 17, with their cap of 0.999 on each β_t.
    """

    def signal(time: float) -> float:
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - signal((t + 1) / levels) / signal(t / levels), 0.999) for t in range(levels)]
    return torch.cumprod(1 - torch.tensor(betas, dtype=torch.float64), dim=0).float()


def trailing_timesteps(levels: int, steps: int) -> list[int]:
    """The `steps` timesteps that a sampler visits, from `levels - 1` downwards.

    Trailing spacing starts at the last level, where x_t really is N(0, I); the common leading spacing starts lower and
    then feeds pure noise to a network that expects some signal.
    """
    return [round(levels - i * levels / steps) - 1 for i in range(steps)]


def denoising_loss(
    predict: NoisePredictor,
    alpha_bar: Float[Tensor, " levels"],
    observation: Float[Tensor, "batch observation"],
    chunk: Chunk,
    noise: Chunk,
    timestep: Int[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """Squared error of the predicted noise, per sample (Ho et al. 2020, eq. 14)."""
    signal = alpha_bar[timestep][:, None, None]
    noised = signal.sqrt() * chunk + (1 - signal).sqrt() * noise
    return (predict(observation, noised, timestep) - noise).square().mean(dim=(1, 2))


def ddim_path(
    predict: NoisePredictor,
    alpha_bar: Float[Tensor, " levels"],
    timesteps: Sequence[int],
    observation: Float[Tensor, "batch observation"],
    noise: Chunk,
) -> Iterator[Chunk]:
    """Denoises `noise` into a chunk, deterministically (DDIM with η = 0), and yields every intermediate x.

    The predicted x_0 is clipped to [-1, 1] and ε recomputed from it, so that the path stays where training was.

    Args:
        predict: the noise predictor ε_θ.
        alpha_bar: schedule from `cosine_schedule`.
        timesteps: descending timesteps from `trailing_timesteps`.
        observation: what the chunk is conditioned on, normalised.
        noise: the initial noise x_T: what steering chooses.

    Yields:
        x after each step; the last one is the chunk, in [-1, 1].
    """
    x = noise
    shares = alpha_bar.tolist()
    for timestep, following in zip(timesteps, [*timesteps[1:], -1], strict=True):
        signal = shares[timestep]
        next_signal = shares[following] if following >= 0 else 1.0
        step = torch.full((len(x),), timestep, dtype=torch.long, device=x.device)
        predicted_noise = predict(observation, x, step)
        clean = ((x - math.sqrt(1 - signal) * predicted_noise) / math.sqrt(signal)).clamp(-1, 1)
        direction = (x - math.sqrt(signal) * clean) / math.sqrt(1 - signal)
        x = math.sqrt(next_signal) * clean + math.sqrt(1 - next_signal) * direction
        yield x


def ddim_sample(
    predict: NoisePredictor,
    alpha_bar: Float[Tensor, " levels"],
    timesteps: Sequence[int],
    observation: Float[Tensor, "batch observation"],
    noise: Chunk,
) -> Chunk:
    """The chunk at the end of `ddim_path`: a deterministic function of observation and initial noise."""
    *_, chunk = ddim_path(predict, alpha_bar, timesteps, observation, noise)
    return chunk
