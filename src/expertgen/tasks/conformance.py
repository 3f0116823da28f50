"""The environment contract as a test that anybody can run on an environment of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from expertgen.tasks.environment import TaskEnv

_SEED = 20
_PROBE_STEPS = 20
"""Control steps of the comparisons; fewer if the horizon is shorter."""


def check_environment(make: Callable[[], TaskEnv]) -> None:
    """Checks every promise of `TaskEnv` on new environments.

    Runs one episode to the horizon, so pass a task with a short one (`dataclasses.replace(task, horizon=20)`) where
    simulation is slow. What it cannot check: that success is what the task says, that starts are fair, that the last
    observation of an episode is the true one (an environment that resets itself would show the next start instead).

    Args:
        make: makes a new, closed-over `TaskEnv` with at least two environments; called several times.

    Raises:
        AssertionError: naming the first promise that is broken.
    """
    env = make()
    try:
        _check_spaces(env)
        _check_arrays(env)
        _check_masks(env)
        _check_end(env)
        first = _record(env, _SEED)
        _must(_equal(first, _record(env, _SEED)), "the same seed does not give the same bits a second time")
        _must(not _equal(first[:1], _record(env, _SEED + 1)[:1]), "different seeds give the same starts")
        starts = first[0][0]
        _must(len(np.unique(starts, axis=0)) > 1, "all environments start the same: they need a random stream each")
    finally:
        env.close()
    other = make()
    try:
        _must(_equal(first, _record(other, _SEED)), "the same seed does not give the same bits in a new object")
    finally:
        other.close()


def _check_spaces(env: TaskEnv) -> None:
    task, n = env.task, env.num_envs
    _must(n >= 2 and task.horizon >= 2, "check_environment needs at least two environments and a horizon of two steps")
    _must(isinstance(env, gymnasium.vector.VectorEnv), "the environment is not a gymnasium.vector.VectorEnv")
    mode = env.metadata.get("autoreset_mode")
    _must(mode == AutoresetMode.DISABLED, f"metadata['autoreset_mode'] is {mode}, not AutoresetMode.DISABLED")
    for name, space, size in (
        ("observation", env.single_observation_space, task.observation_size),
        ("action", env.single_action_space, task.action_size),
    ):
        _must(space.shape == (size,), f"single_{name}_space has the shape {space.shape}, the task says ({size},)")
        _must(space.dtype == np.float32, f"single_{name}_space is {space.dtype}, not float32")
    _must(env.action_space.shape == (n, task.action_size), f"action_space has the shape {env.action_space.shape}")


def _check_arrays(env: TaskEnv) -> None:
    observation, info = env.reset(seed=_SEED)
    _check_observation(env, observation, "reset")
    _check_flags(env, {"info['success'] after reset": info.get("success")})
    _must(not info["success"].any(), "an episode begins in success")
    held = observation.copy()
    result = env.step(_actions(env, np.random.default_rng(_SEED)))
    _must(np.array_equal(held, observation), "step changed the array that reset had returned: return copies")
    observation, reward, terminated, truncated, info = result
    _check_observation(env, observation, "step")
    _must(reward.shape == (env.num_envs,), f"reward has the shape {reward.shape}, not ({env.num_envs},)")
    _must(bool(np.isfinite(reward).all()), "reward is not finite")
    flags = {"terminated": terminated, "truncated": truncated, "info['success'] after step": info.get("success")}
    _check_flags(env, flags)


def _check_masks(env: TaskEnv) -> None:
    env.reset(seed=_SEED)
    rng = np.random.default_rng(_SEED)
    for _ in range(min(3, env.task.horizon - 1)):
        before = env.step(_actions(env, rng))[0]
    mask = np.zeros(env.num_envs, bool)
    mask[0] = True
    after, _ = env.reset(options={"reset_mask": mask})
    _must(not np.array_equal(after[0], before[0]), "reset_mask: the environment that was asked for was not reset")
    _must(np.array_equal(after[1:], before[1:]), "reset_mask: an environment that was not asked for changed")
    unchanged, _ = env.reset(options={"reset_mask": np.zeros(env.num_envs, bool)})
    _must(np.array_equal(unchanged, after), "an empty reset_mask changed something")


def _check_end(env: TaskEnv) -> None:
    """Runs all episodes to their ends, looking at each step, then resets one of them."""
    observation, _ = env.reset(seed=_SEED)
    rng = np.random.default_rng(_SEED)
    ended = np.zeros(env.num_envs, bool)
    flags: tuple[np.ndarray, ...] = (ended, ended, ended)
    for step in range(1, env.task.horizon + 3):
        last_observation, last_flags, last_ended = observation, flags, ended
        observation, reward, terminated, truncated, info = env.step(_actions(env, rng))
        flags, ended = (terminated, truncated, info["success"]), terminated | truncated
        _must(not (terminated & truncated).any(), f"step {step}: terminated and truncated at once")
        _must(bool((terminated | ~info["success"]).all()), f"step {step}: success without terminated")
        frozen = "an environment whose episode had ended"
        _must(
            np.array_equal(observation[last_ended], last_observation[last_ended]),
            f"step {step}: {frozen} did not keep its terminal observation",
        )
        _must(not reward[last_ended].any(), f"step {step}: {frozen} gave a reward")
        _must(
            all(np.array_equal(new[last_ended], old[last_ended]) for new, old in zip(flags, last_flags, strict=True)),
            f"step {step}: {frozen} did not repeat its flags",
        )
        if step < env.task.horizon:
            _must(not truncated.any(), f"truncated after {step} steps, but the horizon is {env.task.horizon}")
        else:
            _must(bool(ended.all()), f"not truncated after {step} steps, but the horizon is {env.task.horizon}")
    mask = np.zeros(env.num_envs, bool)
    mask[-1] = True
    env.reset(options={"reset_mask": mask})
    result = env.step(_actions(env, rng))
    _must(not result[3][-1] or env.task.horizon == 1, "a reset does not begin the time limit anew")
    _must(np.array_equal(result[0][:-1], observation[:-1]), "reset_mask woke up an environment that had ended")


def _check_observation(env: TaskEnv, observation: np.ndarray, where: str) -> None:
    shape = (env.num_envs, env.task.observation_size)
    _must(observation.shape == shape, f"{where}: observation has the shape {observation.shape}, not {shape}")
    _must(observation.dtype == np.float32, f"{where}: observation is {observation.dtype}, not float32")
    _must(bool(np.isfinite(observation).all()), f"{where}: observation is not finite")


def _check_flags(env: TaskEnv, flags: dict[str, Any]) -> None:
    for name, flag in flags.items():
        _must(
            isinstance(flag, np.ndarray) and flag.shape == (env.num_envs,) and flag.dtype == bool,
            f"{name} is not a bool array of the shape ({env.num_envs},)",
        )


def _record(env: TaskEnv, seed: int) -> list[tuple[np.ndarray, ...]]:
    """Returns the starts under a seed, steps from there, and a second start and step of half of the environments."""
    rng = np.random.default_rng(_SEED)
    recorded: list[tuple[np.ndarray, ...]] = [(env.reset(seed=seed)[0],)]
    recorded += [env.step(_actions(env, rng))[:4] for _ in range(min(_PROBE_STEPS, env.task.horizon))]
    half = np.arange(env.num_envs) % 2 == 0
    recorded.append((env.reset(options={"reset_mask": half})[0],))
    recorded.append(env.step(_actions(env, rng))[:4])
    return recorded


def _equal(one: list[tuple[np.ndarray, ...]], other: list[tuple[np.ndarray, ...]]) -> bool:
    return all(np.array_equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


def _actions(env: TaskEnv, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-1.0, 1.0, (env.num_envs, env.task.action_size)).astype(np.float32)


def _must(kept: bool, broken: str) -> None:
    if not kept:
        raise AssertionError(broken)
