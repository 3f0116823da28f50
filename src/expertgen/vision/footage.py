"""Pictures of demonstrations that were recorded without any: each is replayed where bodies can be seen, and drawn.

EnvPool computes what Python MetaWorld computes, but shows no bodies. So an episode is started in MetaWorld from the
same random vector (`match_start`), does the recorded actions, and is drawn at every control step. What it then
observes is compared with what was recorded: pictures of another course of events would be worse than none.
"""

# MuJoCo's extension modules come without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from expertgen.demos.formats.lerobot_tables import Footage, color_statistics
from expertgen.demos.store import Demo, DemoSet
from expertgen.errors import UsageError
from expertgen.runs.progress import StageProgress
from expertgen.tasks.agreement import match_start
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.spec import CameraSpec, TaskSpec
from expertgen.vision.live import LiveShader
from expertgen.vision.rig import select_cameras
from expertgen.vision.scene import capture
from expertgen.vision.shading import FrameShader
from expertgen.vision.video import video

if TYPE_CHECKING:
    from mujoco import MjData

TOLERANCE = 0.01
"""How far from what was recorded the hand or an object of a replay may be [m]: some two pixels of 320×240."""

_KEY_FRAMES = ("-g", "2", "-bf", "0")
"""Every second picture stands alone, since those who train read pictures in any order."""


def shoot(
    demos: DemoSet,
    task: TaskSpec,
    cameras: tuple[str, ...],
    folder: Path,
    size: tuple[int, int] = (320, 240),
    skip_broken: bool = False,
) -> Generator[StageProgress, None, tuple[DemoSet, list[Footage]]]:
    """Films all demonstrations, one after the other, with each of several cameras.

    A picture through a camera that stands takes some 15 ms, through one on the hand ten times as long.

    Args:
        demos: the demonstrations.
        task: their task, one of MetaWorld's.
        cameras: names of the task's cameras.
        folder: where the films go, one file for each camera.
        size: width and height of the pictures [pixels], both even.
        skip_broken: leave out demonstrations that cannot be replayed, with a line in `notes` for each.

    Yields:
        demonstrations replayed, then pictures drawn.

    Returns:
        the demonstrations that were filmed, and the films.

    Raises:
        UsageError: if the task has no such camera or is not MetaWorld's, a size is odd, the extra `vision` is not
            installed, or a demonstration takes another course when it is replayed.
        TrainingError: if a film cannot be written.
    """
    demos.check(task)
    width, height = size
    if min(size) < 16 or width % 2 or height % 2:
        raise UsageError(f"pictures of {width}×{height} cannot be encoded: width and height must be even, at least 16")
    chosen = [replace(camera, width=width, height=height) for camera in select_cameras(task, cameras)]
    longest = max(len(demo.actions) for demo in demos.demos)
    replay = _Replay(replace(task, horizon=max(task.horizon, longest)))  # people may have taken longer

    filmed: list[Demo] = []
    notes: list[str] = []
    for i, demo in enumerate(demos.demos):
        problem = replay.departure(demo)
        if problem and not skip_broken:
            raise UsageError(f"demonstration {i} {problem}; leave such ones out with --skip-broken")
        if problem:
            notes.append(f"left out demonstration {i}: it {problem}")
        else:
            filmed.append(demo)
        yield StageProgress("replay", i + 1, len(demos), "episodes")
    if not filmed:
        raise UsageError(f"no demonstration can be filmed: {notes[0]}")
    kept = replace(demos, demos=tuple(filmed), notes=(*demos.notes, *notes))

    films: list[Footage] = []
    drawn, total = 0, kept.steps * len(chosen)
    for camera in chosen:
        film = Footage(camera.name, folder / f"{camera.name}.mp4", width, height, [])
        paint = replay.painter(camera)
        with video(film.path, width, height, task.control_rate, *_KEY_FRAMES) as append:
            for demo in kept.demos:
                colors: list[np.ndarray] = []
                for _, data in replay.moments(demo):
                    picture = paint(data)
                    append(picture)
                    colors.append(picture[::4, ::4].reshape(-1, 3))
                    drawn += 1
                    yield StageProgress("draw", drawn, total, "pictures")
                film.colors.append(color_statistics(np.concatenate(colors)))
        films.append(film)
    return kept, films


class _Replay:
    """Lets demonstrations of a task happen again where they can be drawn."""

    def __init__(self, task: TaskSpec) -> None:
        if not task.simulator_id.startswith("MetaWorld/"):
            raise UsageError(f"demonstrations of {task.id!r} cannot be drawn: pictures are for MetaWorld's tasks")
        self._env = MetaWorldEnv(task, 1)
        self._env.reset(seed=0)
        fields = [one for one in task.fields if one.unit == "m" and not one.name.startswith("previous_")]
        self._places = [(one.name, one.columns) for one in fields if one.stop - one.start == 3]

    def moments(self, demo: Demo) -> Iterator[tuple[np.ndarray, MjData]]:
        """Yields what is observed at each control step of a replay, `[D]`, and the state to be drawn."""
        start = match_start(self._env, demo.observations[0])
        observation = self._env.reset_to([start])
        for action in demo.actions:
            yield observation[0], self._env.datas[0]
            observation = self._env.step(action[None])[0]

    def departure(self, demo: Demo) -> str:
        """Says where a replay takes another course than what was recorded, or "" if it does not."""
        try:
            for step, (observed, _) in enumerate(self.moments(demo)):
                for name, columns in self._places:
                    distance = np.linalg.norm(observed[columns] - demo.observations[step, columns])
                    if not distance <= TOLERANCE:
                        return f"takes another course when replayed: {name} is {distance:.3f} m off at step {step}"
        except UsageError as error:
            return f"cannot be replayed: {error}"
        return ""

    def painter(self, camera: CameraSpec) -> Callable[[MjData], UInt8[np.ndarray, "height width 3"]]:
        """Returns what draws a state through a camera."""
        if camera.mount == "hand":  # nothing of its picture stands still
            shader = FrameShader(self._env.models[0])
            return lambda data: shader.frame(data, camera, camera.width, camera.height)
        live = LiveShader(self._env.models[0])
        return lambda data: live.frame(capture(data), camera)
