"""Named configurations: what `--preset` means."""

from __future__ import annotations

from typing import Any

from expertgen.errors import UsageError, nearest

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # The whole way in under two minutes: every part runs, nothing gets good.
    "debug": {
        "demos": {"episodes": 32, "num_envs": 16},
        "prior": {"iterations": 600, "width": 64},
        "steer": {
            "num_envs": 16,
            "env_steps": 12_000,
            "segment_env_steps": 6_000,
            "warmup_env_steps": 3_000,
            "validation_episodes": 16,
            "sac": {"width": 64, "depth": 2},
        },
        "distill": {"iterations": 2, "num_envs": 16, "decisions": 64, "updates": 20, "final_iterations": 2},
        "evaluation": {"episodes": 16, "num_envs": 16, "constant_noises": 8},
    },
}


def preset(name: str) -> dict[str, Any]:
    """Returns the settings of a preset, as nested mappings.

    Raises:
        UsageError: if there is no such preset.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}{nearest(name, PRESETS)}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
