"""The noise decision process: the frozen prior and the simulator together are an environment whose action is noise.

    observation s ──► agent ──► noise w ──► prior G(s, w) ──► chunk [H, A] ──► simulator, H steps ──► s', success?

One decision runs one chunk. Reward is 1 at success and 0 otherwise; the simulator's own reward is not read. Success and
failure end an episode (no bootstrap), the time limit cuts it (bootstrap from the true last observation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.prior.prior import Prior
from expertgen.tasks.chunks import ChunkOutcome, execute_chunk
from expertgen.tasks.environment import TaskEnv


@dataclass(frozen=True)
class Decision:
    """One decision of all `N` environments.

    Attributes:
        outcome: what came of the chunks.
        next_observation: `[N, D]`, where the next decision is taken: after a reset, where an episode ended.
    """

    outcome: ChunkOutcome
    next_observation: np.ndarray


class NoiseProcess:
    """Decides by noise, resets by itself at the end of a decision, and never hides a terminal observation.

    Args:
        env: the simulator.
        prior: the frozen prior.
        device: where the prior's weights are.
    """

    def __init__(self, env: TaskEnv, prior: Prior, device: str | torch.device = "cpu") -> None:
        self.env = env
        self.prior = prior
        self.device = torch.device(device)
        self.observation = np.zeros((env.num_envs, env.task.observation_size), np.float32)

    def reset(self, seed: int) -> None:
        """Starts all episodes afresh; the same seed gives the same bits from here on."""
        self.observation, _ = self.env.reset(seed=seed)

    def step(self, noise: Float[Tensor, "envs horizon action"]) -> Decision:
        """Decodes noise, runs the chunks, and starts new episodes where old ones ended."""
        chunk = self.prior.decode(torch.as_tensor(self.observation, device=self.device), noise)
        outcome = execute_chunk(self.env, chunk.cpu().numpy(), ended=np.zeros(self.env.num_envs, bool))
        self.observation = outcome.next_observation
        if outcome.ended.any():
            self.observation, _ = self.env.reset(options={"reset_mask": outcome.ended})
        return Decision(outcome, self.observation)
