"""The decision process: simulator and controller together are an environment whose action the agent does not understand.

    observation ──► controller ──► what the agent sees ──► agent ──► action ──► controller ──► chunk ──► simulator ──► ...

A controller gives an action its meaning: the initial noise of a prior, a correction of its chunk, or the chunk itself.
One decision runs one chunk. Success and failure end an episode (no bootstrap), the time limit cuts it (bootstrap from
the true last observation).
"""  # noqa: E501

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.rl.networks import Actor
from expertgen.tasks.chunks import ChunkOutcome, execute_chunk
from expertgen.tasks.environment import TaskEnv


@runtime_checkable
class Controller(Protocol):
    """What an agent sees, and what its action does. It may remember things of each environment.

    Attributes:
        observation_size: D', of what the agent sees.
        action_size: A', of what it decides.
        chunk_length: H, control steps of a decision.
    """

    observation_size: int
    action_size: int
    chunk_length: int

    def reset(self, ids: np.ndarray) -> None:
        """New episodes begin in the environments `ids`: forget what belongs to the old ones."""
        ...

    def warm_up(
        self, normal: Float[Tensor, "batch decided"], seen: Float[Tensor, "batch seen"]
    ) -> Float[Tensor, "batch decided"]:
        """Turns standard normal numbers, and what is seen, into actions of the behaviour that learning begins from."""
        ...

    def measures(self, action: Float[Tensor, "batch decided"]) -> dict[str, float]:
        """What is worth logging of some actions."""
        ...

    def observe(self, observation: np.ndarray, ids: np.ndarray) -> Float[Tensor, "batch seen"]:
        """Shows the agent what it decides on.

        Args:
            observation: `[n, D]`, the task's, rows of the environments `ids`.
            ids: `[n]`.
        """
        ...

    def chunk(
        self, observation: np.ndarray, action: Float[Tensor, "batch decided"], ids: np.ndarray
    ) -> Float[Tensor, "batch horizon action"]:
        """Turns an action in [-1, 1] into control steps in [-1, 1], where `observe` was asked just before."""
        ...


@dataclass(frozen=True)
class Decision:
    """One decision of all `N` environments.

    Attributes:
        outcome: what came of the chunks.
        chunk: `[N, H, A]`, the chunks.
        next_seen: `[N, D']`, what the agent saw after it: where an episode ended, its true end.
    """

    outcome: ChunkOutcome
    chunk: Float[Tensor, "envs horizon action"]
    next_seen: Float[Tensor, "envs seen"]


class DecisionProcess:
    """Decides by actions, resets by itself at the end of a decision, and never hides a terminal observation.

    Args:
        env: the simulator.
        controller: what actions mean.

    Attributes:
        seen: `[N, D']`, what the agent is to decide on now: after a reset, where an episode ended.
    """

    seen: Float[Tensor, "envs seen"]

    def __init__(self, env: TaskEnv, controller: Controller) -> None:
        self.env = env
        self.controller = controller
        self._ids = np.arange(env.num_envs)
        self._observation = np.zeros((env.num_envs, env.task.observation_size), np.float32)

    def reset(self, seed: int) -> None:
        """Starts all episodes afresh; the same seed gives the same bits from here on."""
        self._observation, _ = self.env.reset(seed=seed)
        self.controller.reset(self._ids)
        self.seen = self.controller.observe(self._observation, self._ids)

    def step(self, action: Float[Tensor, "envs decided"]) -> Decision:
        """Runs the chunks that actions mean, and starts new episodes where old ones ended."""
        chunk = self.controller.chunk(self._observation, action, self._ids)
        outcome = execute_chunk(self.env, chunk.cpu().numpy(), ended=np.zeros(self.env.num_envs, bool))
        next_seen = self.controller.observe(outcome.next_observation, self._ids)
        self._observation, self.seen = outcome.next_observation, next_seen
        if outcome.ended.any():
            self._observation, _ = self.env.reset(options={"reset_mask": outcome.ended})
            begun = self._ids[outcome.ended]
            self.controller.reset(begun)
            self.seen = next_seen.clone()
            self.seen[torch.as_tensor(begun)] = self.controller.observe(self._observation[begun], begun)
        return Decision(outcome, chunk, next_seen)


class ControlledPolicy:
    """An actor and a controller as a policy.

    Args:
        controller: what the actor's actions mean.
        actor: who decides.
        generator: source of samples; without it the actor acts at its mode.
    """

    def __init__(self, controller: Controller, actor: Actor, generator: torch.Generator | None = None) -> None:
        self.controller = controller
        self.actor = actor
        self.generator = generator
        self.chunk_length = controller.chunk_length

    def reset(self, ids: np.ndarray) -> None:
        """See `expertgen.evaluation.policy.Policy.reset`."""
        self.controller.reset(ids)

    @torch.inference_mode()
    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """See `expertgen.evaluation.policy.Policy.plan`."""
        seen = self.controller.observe(observation, ids)
        normal = None
        if self.generator is not None:
            drawn = self.actor.draws * self.controller.action_size
            normal = torch.randn(len(seen), drawn, generator=self.generator).to(seen.device)
        return self.controller.chunk(observation, self.actor.act(seen, normal), ids).cpu().numpy()
