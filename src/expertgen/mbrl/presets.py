"""Settings by task: MBPO's own schedules, with caps that a CPU can keep up with."""

from __future__ import annotations

from typing import Any

from expertgen.runs.config import merged

_SMALL_MODEL = {"width": 128, "depth": 3}
"""Twice the gradient steps in the same time are worth more than MBPO's 4 layers of 200 units."""

_LOCOMOTION: dict[str, Any] = {
    "agent": {"width": 128},
    "model": _SMALL_MODEL,
    "training": {"max_steps": 400},
    "mbpo": {"model_every": 500, "updates_per_step": 10, "policy_every": 2},
}
_FAST: dict[str, Any] = {
    "recency_scale": 1_500.0,
    "agent": {"width": 128, "learning_rate": 1e-3},
    "model": _SMALL_MODEL,
    "training": {"max_steps": 400},
    "mbpo": {
        "env_steps": 5_000,
        "model_every": 500,
        "exploration_steps": 500,
        "epoch_steps": 500,
        "rollout_transitions": 10_000,
        "updates_per_step": 5,
        "evaluation_episodes": 10,
    },
}


TASK_PRESETS: dict[str, dict[str, Any]] = {
    # Target entropies are MBPO's -1, -3, -3, -4, -2, for all dimensions of an action together.
    "hopper": merged(
        _LOCOMOTION,
        {
            "agent": {"target_entropy": -1 / 3},
            "mbpo": {
                "env_steps": 100_000,
                "rollout_schedule": (20, 150, 1, 15),
                "late_discount": 0.995,
                "keep_best": True,
            },
        },
    ),
    "walker2d": merged(
        _LOCOMOTION,
        {
            "agent": {"target_entropy": -3 / 6},
            "mbpo": {"late_discount": 0.995, "late_discount_from": 30_000, "keep_best": True},
        },
    ),
    # MBPO takes 40 updates a step here.
    "half-cheetah": merged(_LOCOMOTION, {"agent": {"target_entropy": -3 / 6}}),
    "ant-truncated": merged(
        _LOCOMOTION,
        {
            "agent": {"target_entropy": -4 / 8},
            "mbpo": {"env_steps": 100_000, "rollout_schedule": (20, 100, 1, 25)},
        },
    ),
    "humanoid-truncated": merged(
        _LOCOMOTION,
        {
            "agent": {"target_entropy": -2 / 17},
            "model": {"width": 400},
            "mbpo": {
                "env_steps": 100_000,
                "model_every": 1_000,
                "rollout_schedule": (20, 300, 1, 25),
                "retain_epochs": 5,
            },
        },
    ),
    "inverted-double-pendulum": merged(_FAST, {"mbpo": {"model_every": 250}}),
    "reacher": _FAST,
    "pusher": _FAST,
    "swimmer": _FAST,
}
"""What a task changes of the defaults, in the form of a run's config.json; see docs/mbrl.md for the table."""


def task_preset(task: str) -> dict[str, Any]:
    """Settings of a task; those of the locomotion tasks where it has none of its own."""
    return TASK_PRESETS.get(task, _LOCOMOTION)
