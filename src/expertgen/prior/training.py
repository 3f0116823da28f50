"""Training the prior: DDPM's loss on windows of the demonstrations, in segments that can be resumed.

Windows and padding. One window per recorded step: the observation at t, and the actions t ... t+H-1. Where a window
reaches past the end of its episode, the last action is repeated:

    episode      a_0  a_1  ...  a_{T-2}  a_{T-1} |
    window T-2                  a_{T-2}  a_{T-1}   a_{T-1}  a_{T-1}

Padded steps are trained on like the others. At run time a chunk stops at success, so what follows it is never executed
there; in a failed demonstration the padding says "keep going", which is what the person or program was doing when time
ran out.

Weights. A window is drawn in proportion to the weight of its demonstration: one of weight 2 counts as if it were there
twice. Where all weights are equal, windows are drawn uniformly.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Generator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from expertgen.demos.store import DemoSet
from expertgen.errors import TrainingError
from expertgen.prior.diffusion import denoising_loss
from expertgen.prior.normalizer import Normalizer
from expertgen.prior.prior import DiffusionPrior, PriorConfig
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
from expertgen.runs.metrics import MetricsWriter
from expertgen.runs.progress import StageProgress
from expertgen.runs.seeding import seeded_weights, torch_generator

SEGMENT_ITERATIONS = 1000
"""Gradient steps between two saved states; each segment draws from its own random stream."""

REPORT_ITERATIONS = 100
"""Gradient steps whose mean loss is one row of metrics."""


def windows(demos: DemoSet, chunk_length: int) -> tuple[Tensor, Tensor]:
    """Cuts demonstrations into training windows.

    Returns:
        observations float32 `[M, D]` and chunks float32 `[M, H, A]`, one row per recorded step.
    """
    chunks = []
    for demo in demos.demos:
        steps = np.arange(len(demo.actions))[:, None] + np.arange(chunk_length)
        chunks.append(demo.actions[np.minimum(steps, len(demo.actions) - 1)])
    observations = np.concatenate([demo.observations for demo in demos.demos])
    return torch.from_numpy(observations), torch.from_numpy(np.concatenate(chunks))


class WindowSampler:
    """Draws windows in proportion to the weights of their demonstrations.

    Args:
        demos: the demonstrations whose windows are drawn.
    """

    def __init__(self, demos: DemoSet) -> None:
        weights = torch.tensor([demo.weight for demo in demos.demos], dtype=torch.float64)
        lengths = torch.tensor([len(demo.actions) for demo in demos.demos])
        self._count = int(lengths.sum())
        self._cumulative = None if (weights == weights[0]).all() else weights.repeat_interleave(lengths).cumsum(0)

    def __call__(self, count: int, generator: torch.Generator) -> Tensor:
        """Returns the indices of `count` windows, int64 `[count]`."""
        if self._cumulative is None:
            return torch.randint(self._count, (count,), generator=generator)
        drawn = torch.rand(count, generator=generator, dtype=torch.float64) * self._cumulative[-1]
        return torch.searchsorted(self._cumulative, drawn, right=True).clamp(max=self._count - 1)


def learning_rate(config: PriorConfig, iteration: int) -> float:
    """The cosine decay from `config.learning_rate` to zero over all iterations, resumed or not."""
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * iteration / config.iterations))


def train_prior(
    demos: DemoSet, config: PriorConfig, seed: int, folder: Path, device: str = "cpu", tensorboard: bool = False
) -> Generator[StageProgress, None, DiffusionPrior]:
    """Trains a prior on all demonstrations, failures included, and saves it to `folder/prior.safetensors`.

    Killed at any moment and called again with the same arguments, it continues at the last segment and ends with the
    same bits.

    Args:
        demos: the demonstrations.
        config: sizes and training options.
        seed: the run's seed.
        folder: the stage's folder; holds `state.safetensors` between segments.
        device: torch device.
        tensorboard: also write TensorBoard event files.

    Yields:
        progress with the running loss.

    Raises:
        TrainingError: if the loss is not finite; the batch is dumped to `folder/bad_batch.safetensors`.
    """
    result, state_path = folder / "prior.safetensors", folder / "state.safetensors"
    if result.exists():
        state_path.unlink(missing_ok=True)
        return DiffusionPrior.load(result).to(device)
    observation, chunk = (rows.to(device) for rows in windows(demos, config.chunk_length))
    sampler = WindowSampler(demos)
    with seeded_weights(seed, "prior", "weights"):
        prior = DiffusionPrior(demos.task, config, observation.shape[1], chunk.shape[2])
    prior.normalizer = Normalizer.fit(observation.cpu())
    prior.to(device)
    observation = prior.normalize(observation)
    network = copy.deepcopy(prior.network)
    average = prior.network.requires_grad_(False)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    iteration, rows = 0, 0
    if state_path.exists():
        tensors, meta = load_checkpoint(state_path, "prior-state", 1)
        load_module(network, without_prefix("network", tensors), state_path)
        load_module(average, without_prefix("average", tensors), state_path)
        load_optimizer(optimizer, without_prefix("optimizer", tensors))
        iteration, rows = meta["iteration"], meta["rows"]
    writer = MetricsWriter(folder, keep_rows=rows, tensorboard=tensorboard)
    while iteration < config.iterations:
        generator = torch_generator(seed, "prior", "segment", iteration)
        end = min(iteration + SEGMENT_ITERATIONS, config.iterations)
        recent: list[float] = []
        while iteration < end:
            index = sampler(config.batch_size, generator).to(device)
            timestep = torch.randint(config.levels, (config.batch_size,), generator=generator).to(device)
            noise = torch.randn(config.batch_size, *prior.noise_shape, generator=generator).to(device)
            loss = denoising_loss(network, prior.alpha_bar, observation[index], chunk[index], noise, timestep).mean()
            recent.append(loss.item())
            if not math.isfinite(recent[-1]):
                dump = folder / "bad_batch.safetensors"
                batch = {"observation": observation[index], "chunk": chunk[index], "noise": noise, "timestep": timestep}
                save_checkpoint(dump, "bad-batch", 1, batch, {"iteration": iteration})
                raise TrainingError(f"the prior's loss is not finite at iteration {iteration}; its batch is in {dump}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.param_groups[0]["lr"] = learning_rate(config, iteration)
            optimizer.step()
            update_average(average, network, config.ema_rate)
            iteration += 1
            if iteration % REPORT_ITERATIONS == 0 or iteration == end:
                row = {"step": iteration, "loss": float(np.mean(recent))}
                recent.clear()
                writer.write(row)
                yield StageProgress("prior", iteration, config.iterations, "iterations", {"loss": row["loss"]})
        tensors = (
            with_prefix("network", network.state_dict())
            | with_prefix("average", average.state_dict())
            | with_prefix("optimizer", optimizer_tensors(optimizer))
        )
        save_checkpoint(state_path, "prior-state", 1, tensors, {"iteration": iteration, "rows": writer.rows})
    average.eval()
    prior.save(result)
    state_path.unlink()
    return prior
