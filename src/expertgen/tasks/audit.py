"""Auditing EnvPool's MetaWorld: does the scripted expert do in it what it does in Python MetaWorld?

A simulator that is rewritten for speed can be wrong where nobody looks, for instance only after an environment's first
reset. Learning would then fail, and the algorithm would get the blame.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np

from expertgen.errors import UsageError
from expertgen.runs.progress import StageProgress
from expertgen.tasks.audit_record import AuditRecord, TaskAudit
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.envpool_env import EnvPoolEnv
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.metaworld_specs import metaworld_name
from expertgen.tasks.spec import TaskSpec

_METAWORLD_HORIZON = 500
_REFERENCE_STARTS = 256
_SHOWN = np.r_[0:18, 36:39]
"""The columns that are compared: the newest frame and the goal."""


@dataclass(frozen=True)
class _Play:
    """The expert's episodes in one simulator: success `[K, N]`, steps `[K, N]`, starts `[K * N, 21]`."""

    success: np.ndarray
    steps: np.ndarray
    starts: np.ndarray


def audit_task(task: TaskSpec, episodes_per_env: int = 3, num_envs: int = 12, seed: int = 0) -> TaskAudit:
    """Plays MetaWorld's scripted expert in EnvPool and in Python MetaWorld, several episodes per environment.

    Args:
        task: a MetaWorld task.
        episodes_per_env: episodes of each environment, one after the other; defects can hide behind the first.
        num_envs: environments.
        seed: seed of the starts.

    Raises:
        UsageError: if the task is none of MetaWorld's or MetaWorld is not installed.
    """
    if not task.simulator_id.startswith("MetaWorld/"):
        raise UsageError(f"task {task.id!r} has no scripted expert: only MetaWorld tasks can be audited")
    task = replace(task, horizon=_METAWORLD_HORIZON)
    reference = MetaWorldEnv(task, num_envs)
    metaworld = _play_expert(reference, episodes_per_env, seed)
    envpool = _play_expert(EnvPoolEnv(task, num_envs), episodes_per_env, seed)
    starts = np.concatenate([_starts(reference, seed + 1 + i) for i in range(-(-_REFERENCE_STARTS // num_envs))])
    outside = np.maximum(starts.min(axis=0) - envpool.starts, envpool.starts - starts.max(axis=0))
    steps = metaworld.steps[metaworld.success]
    return TaskAudit(
        task=task.id,
        episodes=num_envs,
        envpool_success=tuple(int(count) for count in envpool.success.sum(axis=1)),
        metaworld_success=tuple(int(count) for count in metaworld.success.sum(axis=1)),
        start_error=round(float(max(outside.max(), 0.0)), 4),
        expert_steps=int(np.quantile(steps, 0.9)) if len(steps) else _METAWORLD_HORIZON,
    )


def audit_tasks(
    tasks: Iterable[TaskSpec], episodes_per_env: int = 3, num_envs: int = 12
) -> Generator[StageProgress, None, AuditRecord]:
    """Audits tasks one after the other; see `audit_task`. Yields progress and returns the record."""
    tasks = list(tasks)
    audits: dict[str, TaskAudit] = {}
    for task in tasks:
        audits[task.id] = audit_task(task, episodes_per_env, num_envs)
        unsound = sum(not audit.sound for audit in audits.values())
        yield StageProgress("audit", len(audits), len(tasks), "tasks", {"unsound": unsound})
    return AuditRecord({name: version(name) for name in ("envpool", "metaworld", "mujoco")}, audits)


def _play_expert(env: TaskEnv, episodes: int, seed: int) -> _Play:
    from metaworld.policies import ENV_POLICY_MAP

    expert = ENV_POLICY_MAP[metaworld_name(env.task)]()
    successes, steps, starts = [], [], []
    for episode in range(episodes):
        env.reset(seed=seed if episode == 0 else None)
        observation, success, ended, count = _idle(env)
        starts.append(observation[:, _SHOWN])
        while not ended.all():
            actions = np.zeros((env.num_envs, 4), np.float32)
            with warnings.catch_warnings():  # the expert warns of its own large actions, which are clipped as intended
                warnings.simplefilter("ignore")
                for i in np.flatnonzero(~ended):
                    actions[i] = expert.get_action(observation[i].astype(np.float64))
            count += ~ended
            observation, _, terminated, truncated, info = env.step(actions)
            ended, success = terminated | truncated, info["success"]
        successes.append(success)
        steps.append(count)
    return _Play(np.array(successes), np.array(steps), np.concatenate(starts))


def _starts(env: TaskEnv, seed: int) -> np.ndarray:
    env.reset(seed=seed)
    return _idle(env)[0][:, _SHOWN]


def _idle(env: TaskEnv) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Runs one control step without motion: right after a reset, some positions in an observation are out of date."""
    observation, _, terminated, truncated, info = env.step(np.zeros((env.num_envs, 4), np.float32))
    return observation, info["success"], terminated | truncated, np.ones(env.num_envs, np.int64)
