"""`expertgen doctor`: what this machine has, how fast it simulates, and what each extra would add."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from expertgen.demos.sandbox.host import examine_confinement
from expertgen.runs.machine import machine_description, package_versions
from expertgen.tasks.audit_record import shipped_record, versions_changed
from expertgen.tasks.registry import get_task, make_env

EXTRAS = {
    "vision": ("metaworld", "scripted demonstrators, cameras, students, films"),
    "report": ("matplotlib", "report.html"),
    "serve": ("websockets", "teleoperation"),
    "tensorboard": ("tensorboard", "--tensorboard"),
    "llm": ("openai", "demos write: programs by a language model"),
    "lerobot": ("pyarrow", "datasets of LeRobot"),
}
"""Extra → a module that it brings, and what it adds."""

_TASK = "peg-insert-side"

_OPENGL_PROBE = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size="1"/></worldbody></mujoco>')
with mujoco.Renderer(model, 32, 32) as renderer:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer.update_scene(data)
    renderer.render()
"""


def examine(console: Console) -> None:
    """Prints what was found; nothing is kept but one picture in the temporary folder."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in {
        **machine_description(),
        "torch threads": torch.get_num_threads(),
        **package_versions(),
    }.items():
        table.add_row(str(name), str(value))
    table.add_row("cuda", torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no")
    console.print(table)
    console.print(_extras())
    if changed := versions_changed():
        console.print(
            f"audit      done with {shipped_record().versions}, but here are {changed}: run expertgen tasks audit"
        )
    console.print(sandbox_table())
    console.print(f"simulator  {simulator_speed(threads=1):,.0f} control steps/s on one core (EnvPool, {_TASK})")
    if importlib.util.find_spec("metaworld"):
        path, seconds = render_frame()
        console.print(f"camera     one shaded frame without OpenGL in {seconds * 1e3:.0f} ms: {path}")
        found = [backend for backend in ("egl", "osmesa", "glfw") if opengl_works(backend)]
        console.print(f"OpenGL     {', '.join(found) or 'none'} (not needed; depth and films are cast by rays)")


def sandbox_table() -> Table:
    """What confines a demonstration program here, and what is missing."""
    found = examine_confinement()
    enough = "refuses programs here without --no-sandbox" if found.lacking else "confines programs"
    table = Table("sandbox", enough)
    for name, what in found.applied.items():
        table.add_row(name, what)
    for name, why in found.missing.items():
        table.add_row(name, f"no: {why}")
    return table


def simulator_speed(threads: int, num_envs: int = 16, steps: int = 100) -> float:
    """Control steps per second of EnvPool on a MetaWorld task, random actions."""
    with closing(make_env(get_task(_TASK), num_envs, threads=threads)) as env:
        env.reset(seed=0)
        actions = np.random.default_rng(0).uniform(-1, 1, (num_envs, 4)).astype(np.float32)
        start = time.perf_counter()
        for _ in range(steps):
            env.step(actions)
        return num_envs * steps / (time.perf_counter() - start)


def render_frame() -> tuple[Path, float]:
    """Draws one frame of a task by ray casting; returns its file and the seconds it took."""
    import imageio.v3 as imageio

    from expertgen.tasks.metaworld import MetaWorldEnv
    from expertgen.vision.shading import FrameShader

    with closing(MetaWorldEnv(get_task(_TASK), 1)) as env:
        env.reset(seed=0)
        start = time.perf_counter()
        picture = FrameShader(env.models[0]).frame(env.datas[0], width=320, height=240)
        seconds = time.perf_counter() - start
    path = Path(tempfile.gettempdir()) / "expertgen-doctor.png"
    imageio.imwrite(path, picture)
    return path, seconds


def opengl_works(backend: str) -> bool:
    """Whether MuJoCo can draw with an OpenGL backend; tried in its own process, because a failure can be a crash."""
    environment = {**os.environ, "MUJOCO_GL": backend}
    done = subprocess.run([sys.executable, "-c", _OPENGL_PROBE], env=environment, capture_output=True, check=False)
    return done.returncode == 0


def _extras() -> Table:
    table = Table("extra", "installed", "adds")
    for name, (module, adds) in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        table.add_row(name, "yes" if there else f"no: pip install 'expertgen\\[{name}]'", adds)
    return table
