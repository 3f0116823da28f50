"""What every later stage knows of a prior: noise in, chunk out, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.errors import FileError, UsageError
from expertgen.prior.diffusion import cosine_schedule, ddim_sample, trailing_timesteps
from expertgen.prior.network import NoiseNetwork
from expertgen.prior.normalizer import Normalizer
from expertgen.runs.checkpoint import load_checkpoint, load_module, save_checkpoint, with_prefix, without_prefix
from expertgen.runs.ranges import Count, NotNegative, Positive, Rate, check_ranges

KIND, VERSION = "prior", 1


@runtime_checkable
class Prior(Protocol):
    """A frozen policy whose only input besides the observation is its initial noise.

    Attributes:
        noise_shape: (H, A).
        observation_size: D.
    """

    noise_shape: tuple[int, int]
    observation_size: int

    def normalize(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch observation"]:
        """The observation as the prior's network sees it: zero mean, unit deviation, clipped."""
        ...

    def decode(
        self, observation: Float[Tensor, "batch observation"], noise: Float[Tensor, "batch horizon action"]
    ) -> Float[Tensor, "batch horizon action"]:
        """Turns noise into a chunk in [-1, 1]: deterministic, batched, without gradient.

        Args:
            observation: raw observations (the prior normalises them itself).
            noise: initial noise x_T; N(0, I) gives the prior's own behaviour.
        """
        ...


@dataclass(frozen=True)
class PriorConfig:
    """How the behavior prior is built and trained."""

    chunk_length: Count = 4
    """H: control steps planned at once, all of them executed."""
    levels: Count = 20
    """Diffusion levels of training."""
    sampler_steps: Count = 5
    """DDIM steps of the sampler (trailing timesteps, eta 0)."""
    width: Count = 128
    """Hidden width of the noise predictor."""
    depth: Count = 3
    """Residual blocks of the noise predictor."""
    iterations: Count = 6000
    """Gradient steps."""
    batch_size: Count = 256
    """Windows a gradient step."""
    learning_rate: Positive = 1e-3
    """Peak of AdamW's cosine decay to zero."""
    weight_decay: NotNegative = 1e-6
    """AdamW's weight decay."""
    ema_rate: Rate = 0.005
    """Rate of the exponential moving average of the weights; the average is what is kept."""

    def __post_init__(self) -> None:
        check_ranges(self, "prior")
        if self.sampler_steps > self.levels:
            raise UsageError(f"prior.sampler_steps ({self.sampler_steps}) cannot exceed prior.levels ({self.levels})")


class DiffusionPrior:
    """A diffusion policy over chunks: normaliser, noise predictor, deterministic sampler.

    Args:
        task: id of the task that it was trained for.
        config: its sizes and sampler.
        observation_size: D.
        action_size: A.
    """

    def __init__(self, task: str, config: PriorConfig, observation_size: int, action_size: int) -> None:
        self.task = task
        self.config = config
        self.observation_size = observation_size
        self.noise_shape = (config.chunk_length, action_size)
        self.normalizer = Normalizer(observation_size)
        self.network = NoiseNetwork(
            observation_size, config.chunk_length, action_size, config.levels, config.width, config.depth
        )
        self.alpha_bar = cosine_schedule(config.levels)
        self.timesteps = trailing_timesteps(config.levels, config.sampler_steps)

    def to(self, device: str | torch.device) -> DiffusionPrior:
        """Moves the weights to a device, in place."""
        self.normalizer.to(device)
        self.network.to(device)
        self.alpha_bar = self.alpha_bar.to(device)
        return self

    def normalize(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch observation"]:
        """See `Prior.normalize`."""
        return self.normalizer(observation)

    @torch.inference_mode()
    def decode(
        self, observation: Float[Tensor, "batch observation"], noise: Float[Tensor, "batch horizon action"]
    ) -> Float[Tensor, "batch horizon action"]:
        """See `Prior.decode`; the sampler is DDIM with η = 0."""
        return self.decode_normalized(self.normalizer(observation), noise)

    def decode_normalized(
        self, observation: Float[Tensor, "batch observation"], noise: Float[Tensor, "batch horizon action"]
    ) -> Float[Tensor, "batch horizon action"]:
        """`decode` for observations as `normalize` gives them; gradients of the noise flow through it."""
        return ddim_sample(self.network, self.alpha_bar, self.timesteps, observation, noise)

    def with_network(self, network: NoiseNetwork) -> DiffusionPrior:
        """The same prior with another noise predictor of the same sizes."""
        prior = copy.copy(self)
        prior.network = network
        return prior

    def state(self) -> dict[str, Tensor]:
        """Weights and normaliser as named tensors."""
        return with_prefix("network", self.network.state_dict()) | with_prefix(
            "normalizer", self.normalizer.state_dict()
        )

    def description(self) -> dict[str, Any]:
        """What `from_state` needs besides the tensors, JSON-able."""
        return {
            "task": self.task,
            "config": asdict(self.config),
            "observation_size": self.observation_size,
            "action_size": self.noise_shape[1],
        }

    @classmethod
    def from_state(cls, description: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> DiffusionPrior:
        """Rebuilds a frozen prior from `description` and `state`.

        Raises:
            FileError: naming `path`, if they do not fit together or this version.
        """
        try:
            config = PriorConfig(**description["config"])
            prior = cls(description["task"], config, description["observation_size"], description["action_size"])
        except (KeyError, TypeError) as error:
            raise FileError(f"{path}: its description does not fit this version ({error}); train it again") from None
        load_module(prior.network, without_prefix("network", tensors), path)
        load_module(prior.normalizer, without_prefix("normalizer", tensors), path)
        prior.network.eval().requires_grad_(False)
        return prior

    def save(self, path: Path) -> None:
        """Saves weights, normaliser and configuration to one file."""
        save_checkpoint(path, KIND, VERSION, self.state(), self.description())

    @classmethod
    def load(cls, path: Path) -> DiffusionPrior:
        """Loads what `save` wrote.

        Raises:
            FileError: if the file is missing, truncated, of another kind, version or shape.
        """
        tensors, description = load_checkpoint(path, KIND, VERSION)
        return cls.from_state(description, tensors, path)


class PriorPolicy:
    """The prior as a policy: what it does under noise of a given kind.

    Args:
        prior: the frozen prior.
        generator: source of N(0, I) noise; without it the noise is constant.
        noise: constant noise `[H, A]` for all decisions, or `[num_envs, H, A]`, one for each environment; by
            default zero.
        device: where the prior's weights are.
    """

    def __init__(
        self,
        prior: Prior,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.prior = prior
        self.chunk_length = prior.noise_shape[0]
        self.generator = generator
        self.noise = torch.zeros(prior.noise_shape) if noise is None else noise
        self.device = torch.device(device)

    def reset(self, ids: np.ndarray) -> None:
        """Nothing is remembered between decisions."""

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """See `expertgen.evaluation.policy.Policy.plan`."""
        shape = (len(ids), *self.prior.noise_shape)
        if self.generator is not None:
            noise = torch.randn(shape, generator=self.generator)
        elif self.noise.dim() == 3:
            noise = self.noise[torch.as_tensor(ids)]
        else:
            noise = self.noise.expand(shape)
        chunk = self.prior.decode(torch.as_tensor(observation, device=self.device), noise.to(self.device))
        return chunk.cpu().numpy()
