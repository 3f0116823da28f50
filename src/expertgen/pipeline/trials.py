"""Trying a program that a model wrote: episodes in numbers, and a picture of how one failed."""

from __future__ import annotations

import io
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from expertgen.demos.collect import collect
from expertgen.demos.store import Demo
from expertgen.demos.writing.trial import Trial, trial_of
from expertgen.errors import FileError, UsageError
from expertgen.evaluation.statistics import wilson_interval
from expertgen.pipeline.inputs import open_program
from expertgen.runs.progress import drain
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import make_env
from expertgen.tasks.spec import TaskSpec

_HARMLESS = """
class Program:
    def reset(self, seed): pass
    def act(self, observation): pass
"""

PICTURE_TRIES = 4
"""Episodes played at most to find one that fails, for its picture."""


def try_program(path: Path, task: TaskSpec, episodes: int, seed: int, sandbox: bool = True) -> Trial:
    """Plays episodes with a program, the first of as many environments; what goes wrong is counted, not raised.

    Args:
        path: the program.
        task: what it is to do.
        episodes: how many, at least 1.
        seed: seed of environments and program.
        sandbox: whether the program runs in the sandbox, or with this process's rights.

    Raises:
        UsageError: if this machine cannot confine a process.
    """
    with closing(make_env(task, episodes)) as env:
        demos, failures = _play(path, env, episodes, seed, sandbox)
    successes = sum(demo.success for demo in demos)
    return trial_of(task, demos, failures, episodes, wilson_interval(successes, episodes))


def failed_picture(path: Path, task: TaskSpec, seed: int, sandbox: bool = True) -> bytes | None:
    """Returns a PNG of the end of a failed episode, drawn by ray casting, or None where no episode in a few fails.

    Args:
        path: the program.
        task: what it is to do.
        seed: seed of environments and program.
        sandbox: whether the program runs in the sandbox, or with this process's rights.

    Raises:
        UsageError: if the task cannot be pictured, or the extra `vision` is missing.
    """
    check_picture(task)
    import imageio.v3

    from expertgen.vision.shading import shaded_frame

    with closing(MetaWorldEnv(task, 1)) as env:
        for number in range(PICTURE_TRIES):
            demos, _ = _play(path, env, 1, seed + number, sandbox)
            if demos and not demos[0].success:
                image = io.BytesIO()
                imageio.v3.imwrite(image, shaded_frame(env.models[0], env.datas[0]), extension=".png")
                return image.getvalue()
    return None


def check_picture(task: TaskSpec) -> None:
    """Refuses tasks that cannot be pictured.

    Raises:
        UsageError: naming the mend.
    """
    if not task.simulator_id.startswith("MetaWorld/"):
        raise UsageError(f"task {task.id!r} cannot be pictured (MetaWorld's can); leave --frame out")
    for package in ("imageio", "metaworld"):
        if find_spec(package) is None:
            raise UsageError(f"--frame needs the package {package!r}: pip install 'expertgen[vision]'")


def check_sandbox(task: TaskSpec) -> None:
    """Refuses machines where not even a harmless program runs in the sandbox: no program would be to blame.

    Raises:
        UsageError: naming the mend.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "harmless.py"
        path.write_text(_HARMLESS)
        try:
            with open_program(path, task, sandbox=True):
                pass
        except FileError as error:
            why = _without_folder(str(error), path)
            raise UsageError(f"the sandbox does not work here ({why}); see expertgen doctor") from None


def _play(path: Path, env: TaskEnv, episodes: int, seed: int, sandbox: bool) -> tuple[tuple[Demo, ...], list[str]]:
    """Returns the recorded episodes and, for each in which the program could not go on, why."""
    with ExitStack() as stack:
        try:
            program = stack.enter_context(open_program(path, env.task, sandbox))
        except FileError as error:
            return (), [_without_folder(str(error), path)] * episodes
        try:
            played = drain(collect(env, program, episodes, seed, path.name))
        except UsageError as error:  # every episode failed before its first step
            return (), [_without_folder(str(error), path)] * episodes
    failures = [demo.failure for demo in played.demos if demo.failure]
    failures += list(played.notes) * (episodes - len(played))  # these left nothing but a note
    return played.demos, [_without_folder(failure, path) for failure in failures]


def _without_folder(text: str, path: Path) -> str:
    """Where the user keeps files is nobody's business."""
    return text.replace(str(path), path.name)
