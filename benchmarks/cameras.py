"""Frames per second: depth by ray casting against MetaWorld's own OpenGL renderer, on one core.

    taskset -c 1 python benchmarks/cameras.py

All draw the same state of the same task at 48×48, in turn, and the best of five rounds counts for each. Seconds are CPU
seconds of this process, which are wall seconds on a core of its own. Without a working OpenGL backend (software
rendering is enough: apt-get install libegl1 libgl1-mesa-dri) only ours are measured.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")  # MuJoCo reads it once, when it is imported.

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from expertgen.runs.machine import available_cores, prepare_process
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task
from expertgen.vision.camera import nominal_pose
from expertgen.vision.points import Workspace
from expertgen.vision.randomize import CameraRandomization
from expertgen.vision.raycast import DepthCaster
from expertgen.vision.rig import CameraRig
from expertgen.vision.shading import FrameShader

TABLE = Path(__file__).with_suffix(".csv")
TASK = get_task("peg-insert-side")
SIZE = 48
ROUNDS = 5

Draw = Callable[[], int]
"""Draws some frames and returns how many."""


def ours() -> dict[str, Draw]:
    """Our ways to draw: depth alone, everything a student gets, and a picture for people."""
    env = MetaWorldEnv(TASK, 1)
    observation, _ = env.reset(seed=0)
    ids = np.array([0])
    model, data = env.models[0], env.datas[0]
    poses = [nominal_pose(camera, data.body("hand").xpos) for camera in TASK.cameras]
    caster = DepthCaster(model, TASK.cameras, Workspace())
    rig = CameraRig(env, TASK.cameras, CameraRandomization(0.01, 1.0, 0.005, 0.02, 0.1), seed=0)
    rig.reset(ids)
    shader = FrameShader(model)

    def depth() -> int:
        for _ in range(30):
            caster.cast(data, poses)
        return 30 * len(poses)

    def look() -> int:
        for _ in range(30):
            rig.look(observation, ids)
        return 30 * len(poses)

    def picture() -> int:
        shader.frame(data)
        return 1

    return {
        "ray-cast depth, 48x48": depth,
        "ray-cast depth with noise, levelling and cloud, 48x48": look,
        "ray-cast picture with shadows, 320x240": picture,
    }


def theirs() -> dict[str, Draw]:
    """MetaWorld's own renderer, and MuJoCo's; empty where OpenGL does not work."""
    try:
        env = ALL_V3_ENVIRONMENTS["peg-insert-side-v3"](
            render_mode="depth_array", camera_name="corner", width=SIZE, height=SIZE
        )
        env._set_task_called, env._freeze_rand_vec = True, False
        env.reset()
        env.render()
        renderer = mujoco.Renderer(env.model, SIZE, SIZE)
        renderer.enable_depth_rendering()
    except Exception as error:  # Each backend fails with an error class of its own.
        print(f"OpenGL does not work here ({type(error).__name__}: {error}); measuring ours only")
        return {}

    def metaworld() -> int:
        for _ in range(5):
            env.render()
        return 5

    def plain() -> int:
        for _ in range(5):
            renderer.update_scene(env.data, camera="corner")
            renderer.render()
        return 5

    return {"MetaWorld's renderer, depth, 48x48": metaworld, "mujoco.Renderer, depth, 48x48": plain}


def main() -> None:
    """Measures all in turn, prints the ratios and writes the table."""
    prepare_process()
    ways = ours() | theirs()
    rates = dict.fromkeys(ways, 0.0)
    for draw in ways.values():
        draw()
    for _ in range(ROUNDS):
        for name, draw in ways.items():
            start = time.process_time()
            frames = draw()
            rates[name] = max(rates[name], frames / (time.process_time() - start))
    first = next(iter(rates.values()))
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["renderer", "frames_per_second", "ours_is_faster_by", "cores"])
        for name, rate in rates.items():
            print(f"{rate:10.1f} frames/s  {first / rate:8.1f}×  {name}")
            writer.writerow([name, f"{rate:.1f}", f"{first / rate:.2f}", available_cores()])


if __name__ == "__main__":
    main()
