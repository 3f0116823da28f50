"""Short films of a policy at work: its first success and its first failure, drawn without OpenGL.

Episodes are played at full speed first, while only the poses of bodies and geoms are kept. Pictures cost a thousand
times a control step, so they are drawn afterwards, for the two episodes that are shown.
"""

# MuJoCo's extension modules come without type stubs.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from expertgen.errors import UsageError
from expertgen.evaluation.policy import Policy
from expertgen.evaluation.rollouts import run_episodes
from expertgen.runs.files import atomic_path
from expertgen.runs.machine import available_cores
from expertgen.runs.progress import StageProgress
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.vision.scene import Scene, capture, restore
from expertgen.vision.video import video

if TYPE_CHECKING:
    from mujoco import MjModel

WIDTH, HEIGHT = 320, 240
"""Size of a frame [pixels]."""

FRAMES_PER_SECOND = 8
"""Of the film; it is slow motion, an episode's frames are spread evenly over it."""

REST = 6
"""How often the last frame is repeated, so that a repeating film rests on its end."""

STRIP = 6
"""Frames in a strip."""


class Shot(NamedTuple):
    """One episode to be drawn: how it ended, and its moments from the reset to the end."""

    success: bool
    scenes: list[Scene]


def film(
    env: MetaWorldEnv, policy: Policy, folder: Path, seed: int, episodes: int = 64, frames: int = 16
) -> Generator[StageProgress, None, list[Path]]:
    """Films a policy: writes `success.mp4`, `success.png` (a strip of six frames), `failure.mp4` and `failure.png`.

    Films that are there already are replaced, or removed if their outcome does not come up any more.

    Args:
        env: where to play; one whose bodies can be seen.
        policy: the policy. One that looks through cameras must look at this very environment.
        folder: the stage's folder.
        seed: environment seed; with the same one, policies are seen on the same start states.
        episodes: play at most so many to find a success and a failure. An outcome that is not found has no film.
        frames: frames of each film.

    Yields:
        episodes played, then frames drawn.

    Returns:
        the films that were written.

    Raises:
        UsageError: if the extra `vision` is not installed.
    """
    recorder = _Recorder(env, env.datas)
    for progress in run_episodes(recorder, policy, episodes, seed, stage="film"):
        yield progress
        if len(recorder.shots) == 2:
            break
    shots = sorted(recorder.shots.values(), key=lambda shot: not shot.success)
    drawn: dict[str, list[np.ndarray]] = {}
    for number, shot in enumerate(shots):
        pictures = drawn.setdefault("success" if shot.success else "failure", [])
        for picture in draw(env.models[0], shot.scenes, frames):
            pictures.append(picture)
            yield StageProgress("draw", number * frames + len(pictures), len(shots) * frames, "frames")
    for old in (folder / f"{outcome}.{kind}" for kind in ("mp4", "png") for outcome in ("success", "failure")):
        old.unlink(missing_ok=True)
    for outcome, pictures in drawn.items():
        save_strip(folder / f"{outcome}.png", pictures)
    return [save_film(folder / f"{outcome}.mp4", pictures) for outcome, pictures in drawn.items()]


def filmed(folder: Path) -> bool:
    """Whether `film` got to its end in this folder: strips are written before films, so none is without its film."""
    films, strips = ({path.stem for path in folder.glob(f"*.{kind}")} for kind in ("mp4", "png"))
    return bool(films) and films == strips


def draw(model: MjModel, scenes: Sequence[Scene], frames: int) -> Iterator[np.ndarray]:
    """Draws `frames` of an episode's moments, evenly spread from the first to the last, on all cores.

    Yields:
        uint8 `[HEIGHT, WIDTH, 3]`, in order.
    """
    import mujoco

    from expertgen.vision.shading import FrameShader

    shader = FrameShader(model)

    def picture(scene: Scene) -> np.ndarray:
        data = mujoco.MjData(model)  # ray casting needs scratch memory in it: one for each thread
        restore(data, scene)
        return shader.frame(data, width=WIDTH, height=HEIGHT)

    chosen = np.linspace(0, len(scenes) - 1, frames).round().astype(int)
    with ThreadPoolExecutor(available_cores()) as threads:
        yield from threads.map(picture, [scenes[i] for i in chosen])


def save_film(path: Path, pictures: Sequence[np.ndarray]) -> Path:
    """Writes pictures as an H.264 film that every browser plays, atomically.

    Raises:
        TrainingError: if not all of it can be read back, because the disk is full, say; there is no file then.
    """
    with video(path, WIDTH, HEIGHT, FRAMES_PER_SECOND) as append:
        for picture in [*pictures, *[pictures[-1]] * REST]:
            append(picture)
    return path


def save_strip(path: Path, pictures: Sequence[np.ndarray]) -> Path:
    """Writes a few of the pictures side by side as PNG, atomically."""
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("pictures need pillow: pip install 'expertgen[vision]'") from error
    chosen = np.linspace(0, len(pictures) - 1, STRIP).round().astype(int)
    with atomic_path(path) as temporary:
        Image.fromarray(np.concatenate([pictures[i] for i in chosen], axis=1)).save(temporary, format="PNG")
    return path


class _Recorder(TaskEnv):
    """Hands everything on to an environment, and keeps the moments of its first success and first failure.

    Args:
        env: the environment.
        datas: the state of each of its copies.

    Attributes:
        shots: success → the first finished episode with that outcome.
    """

    def __init__(self, env: TaskEnv, datas: Sequence[Any]) -> None:
        super().__init__(env.task, env.num_envs)
        self._env, self._datas = env, datas
        self._running: list[list[Scene]] = [[] for _ in range(env.num_envs)]
        self.shots: dict[bool, Shot] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        result = self._env.reset(seed=seed, options=options)
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        for i in np.flatnonzero(mask).tolist():
            self._running[i] = [capture(self._datas[i])]
        return result

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        result = self._env.step(actions)
        _, _, terminated, truncated, info = result
        for i, scenes in enumerate(self._running):
            if not scenes:
                continue
            scenes.append(capture(self._datas[i]))
            if terminated[i] or truncated[i]:
                self.shots.setdefault(bool(info["success"][i]), Shot(bool(info["success"][i]), scenes))
                self._running[i] = []
        return result
