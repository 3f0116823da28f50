"""The real environment: steps of one episode after another into a model's buffer, and returns of whole episodes."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from expertgen.dynamics.transitions import Transitions
from expertgen.tasks.environment import TaskEnv


@runtime_checkable
class Acting(Protocol):
    """Whatever chooses actions: an agent, or a planner.

    Attributes:
        generator: source of its random numbers.
    """

    generator: torch.Generator

    def act(
        self, observation: Float[Tensor, "batch observation"], deterministic: bool = False
    ) -> Float[Tensor, "batch action"]:
        """Actions in [-1, 1], to explore with or the best ones."""
        ...


class Experience:
    """One environment that is reset whenever an episode ends.

    Args:
        env: a single environment.
        seed: of its first reset.
        device: where its transitions go.
    """

    def __init__(self, env: TaskEnv, seed: int, device: str) -> None:
        self._env = env
        self._device = device
        self._observation, _ = env.reset(seed=seed)
        self._first = True

    @property
    def observation(self) -> Float[Tensor, "1 observation"]:
        """What is seen now."""
        return torch.as_tensor(self._observation, device=self._device)

    def step(self, action: Float[Tensor, "1 action"], last: bool) -> tuple[Transitions, Tensor]:
        """Takes one step.

        Args:
            action: in [-1, 1].
            last: the episode is abandoned after this step; that counts as a time limit.

        Returns:
            the transition, and whether it is the first one of its episode.
        """
        before, first = self._observation, self._first
        after, reward, terminated, truncated, _ = self._env.step(action.cpu().numpy())
        truncated = truncated | (last & ~terminated)
        ended = terminated | truncated
        self._first = bool(ended[0])
        self._observation = after
        if self._first and not last:
            self._observation, _ = self._env.reset(options={"reset_mask": ended})
        columns = (torch.as_tensor(c, device=self._device) for c in (before, reward, after, terminated, truncated))
        observation, reward, next_observation, terminated, truncated = columns
        return (
            Transitions(observation, action, reward, next_observation, terminated, truncated),
            torch.tensor([first], device=self._device),
        )


def play_returns(env: TaskEnv, actor: Acting, seed: int, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Plays one episode in each environment with the actor's best actions.

    Returns:
        returns (sums of rewards, not discounted) and lengths, each `[N]`.
    """
    observation, _ = env.reset(seed=seed)
    returns, steps, ended = np.zeros(env.num_envs), np.zeros(env.num_envs, np.int64), np.zeros(env.num_envs, bool)
    action = np.zeros((env.num_envs, env.task.action_size), np.float32)
    while not ended.all():
        rows = torch.as_tensor(observation[~ended], device=device)
        action[~ended] = actor.act(rows, deterministic=True).cpu().numpy()
        steps += ~ended
        observation, reward, terminated, truncated, _ = env.step(action)
        returns += reward
        ended = terminated | truncated
    return returns, steps
