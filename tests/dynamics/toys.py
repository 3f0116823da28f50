"""A one-dimensional world with known noise, and transitions of simulators."""

import numpy as np
import torch

from expertgen.dynamics.transitions import Transitions
from expertgen.tasks.envpool_env import EnvPoolEnv
from expertgen.tasks.registry import get_task


def toy(rows: int, seed: int, noise: float = 0.1) -> Transitions:
    """s' = s + a² / 2 + noise · N(0, 1) on the first column, s' = -s exactly on the second; reward sin(2 s₀)."""
    generator = torch.Generator().manual_seed(seed)
    observation = torch.rand(rows, 2, generator=generator) * 2 - 1
    action = torch.rand(rows, 1, generator=generator) * 2 - 1
    first = observation[:, 0] + 0.5 * action[:, 0] ** 2 + noise * torch.randn(rows, generator=generator)
    return Transitions(
        observation,
        action,
        torch.sin(2 * observation[:, 0]),
        torch.stack([first, -observation[:, 1]], dim=1),
        torch.zeros(rows, dtype=torch.bool),
        torch.zeros(rows, dtype=torch.bool),
    )


def join(*parts: Transitions) -> Transitions:
    return Transitions(**{name: torch.cat([p.tensors()[name] for p in parts]) for name in parts[0].tensors()})


def simulated(task: str, steps: int, num_envs: int = 16, seed: int = 0, scale: float = 1.0) -> Transitions:
    """Random actions; episodes start anew where they ended. Rows of the environments follow each other in turn."""
    env = EnvPoolEnv(get_task(task), num_envs)
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    rows = []
    for _ in range(steps):
        action = (scale * rng.uniform(-1, 1, (num_envs, env.task.action_size))).astype(np.float32)
        after, reward, terminated, truncated, _ = env.step(action)
        rows.append((observation, action, reward, after, terminated, truncated))
        ended = terminated | truncated
        observation = env.reset(options={"reset_mask": ended})[0] if ended.any() else after
    return Transitions(*(torch.from_numpy(np.concatenate(column)) for column in zip(*rows, strict=True)))
