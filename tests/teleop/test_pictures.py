"""Views, and the two ways to draw them."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("metaworld", reason="the extra 'vision' is not installed")

from PIL import Image

from expertgen.teleop.pictures import VIEWS, jpeg

OPENGL = """
from dataclasses import replace
import numpy as np
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task
from expertgen.teleop.pictures import VIEWS, make_artist
from expertgen.vision.scene import capture

env = MetaWorldEnv(get_task("drawer-open"), 1)
env.reset(seed=0)
scene, camera = capture(env.datas[0]), replace(VIEWS[0].camera, width=160, height=120)
opengl, rays = (make_artist(name, env.models[0], env.datas[0]) for name in ("opengl", "rays"))
one, other = (artist.frame(scene, camera, np.array([0.0, 0.6, 0.2])).astype(int) for artist in (opengl, rays))
opengl.close()
print(np.corrcoef(one.ravel(), other.ravel())[0, 1], one.shape)
"""


def test_keys_move_the_hand_as_it_is_seen():
    axes = {view.name: [axis.tolist() for axis in view.axes()] for view in VIEWS}
    assert axes == {
        "right": [[0, 1, 0], [-1, 0, 0]],
        "above": [[1, 0, 0], [0, 1, 0]],
        "side": [[0, 1, 0], [-1, 0, 0]],
        "front": [[-1, 0, 0], [0, -1, 0]],
    }


def test_pictures_survive_their_compression():
    picture = np.zeros((24, 32, 3), np.uint8)
    picture[:, 16:] = (200, 40, 40)
    again = np.asarray(Image.open(io.BytesIO(jpeg(picture)))).astype(int)
    assert np.abs(again - picture).max() < 30


def draw_with_opengl(backend: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path)}
    environment.pop("DISPLAY", None)
    environment["MUJOCO_GL"] = backend
    return subprocess.run([sys.executable, "-c", OPENGL], env=environment, capture_output=True, text=True, check=False)


def test_opengl_draws_the_same_scene():
    done = draw_with_opengl("egl")
    if done.returncode:
        pytest.skip("there is no OpenGL (EGL) on this machine")
    correlation, shape = done.stdout.split(maxsplit=1)
    assert shape.strip() == "(120, 160, 3)"
    assert float(correlation) > 0.6


def test_without_opengl_it_is_refused():
    done = draw_with_opengl("")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "no OpenGL works here: leave --renderer out, or install libosmesa6 and set MUJOCO_GL=osmesa"
    )
