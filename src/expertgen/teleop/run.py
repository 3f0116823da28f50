"""Teleoperation from beginning to end: environment, recorder and server together."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from expertgen.demos.recorder import Recorder
from expertgen.errors import UsageError
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.spec import TaskSpec
from expertgen.teleop.config import TeleopConfig

SOURCE = "teleoperation"
"""Who demonstrates, where no name is given."""


def teleoperate(
    task: TaskSpec,
    path: Path,
    config: TeleopConfig,
    started: Callable[[str], None],
    source: str = SOURCE,
    seed: int = 0,
    horizon: int | None = None,
) -> Recorder:
    """Serves the page until it is interrupted (Ctrl-C).

    Args:
        task: a MetaWorld task.
        path: demonstrations to append to.
        config: how the server works.
        started: called once, with the address of the page.
        source: who demonstrates, as it will stand in the file.
        seed: seed of the first start.
        horizon: time limit of an episode [control steps]; by default the task's.

    Returns:
        the recorder, closed; the episode that was under way is in its file.

    Raises:
        UsageError: if the task cannot be shown, a file cannot be used, or the port is taken.
    """
    check_teleoperable(task)
    if horizon is not None:
        if horizon < 1:
            raise UsageError(f"horizon must be at least 1, not {horizon}")
        task = replace(task, horizon=horizon)
    from expertgen.teleop.server import TeleopServer

    sys.setswitchinterval(1e-3)  # the thread that draws must not keep the one that simulates waiting
    env = MetaWorldEnv(task, 1)
    recorder = Recorder(env, path, source, seed)
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(TeleopServer(env, recorder, secrets.token_urlsafe(16), config).run(started))
    finally:
        recorder.close()
    return recorder


def check_teleoperable(task: TaskSpec) -> None:
    """Refuses a task whose simulator gives no pictures, and an installation without what is needed.

    Raises:
        UsageError: which of the two it is.
    """
    if not task.simulator_id.startswith("MetaWorld/"):
        raise UsageError(f"task {task.id!r} cannot be shown: teleoperation is for MetaWorld's tasks")
    try:
        import websockets  # noqa: F401
    except ImportError as error:
        raise UsageError(f"teleoperation needs {error.name}: pip install 'expertgen[serve,vision]'") from error
