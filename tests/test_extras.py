"""The core alone: without what the extras bring, all that does not need it works, and the rest names the extra."""

import json
import os
import subprocess
import sys

CORE = """
import json, sys

for name in sys.argv[2:]:
    sys.modules[name] = None  # importing it raises an ImportError

from expertgen.cli import main

print([main(words) for words in json.loads(sys.argv[1])])
"""

PROGRAM = """
class Program:
    def reset(self, seed): pass
    def act(self, observation): return [0.5, 0.5, 0.5, 0.5]
"""

VISION = ("mujoco", "metaworld", "imageio", "imageio_ffmpeg")
OTHERS = ("jinja2", "tensorboard", "websockets", "pyarrow")
NAMED = "pip install 'expertgen[vision]'"


def without(modules, commands, folder):
    """Runs commands where some modules cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", CORE, json.dumps(commands), *modules],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_vision_no_run_to_a_student_begins(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = without(VISION, [[verb, "reach", "--program", "program.py"] for verb in ("run", "distill")], tmp_path)
    assert done.stdout.splitlines()[-1] == "[2, 2]", done.stderr
    assert [NAMED in line for line in done.stderr.splitlines()] == [True, True]
    assert {path.name for path in tmp_path.iterdir()} == {"program.py"}


def test_without_extras(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    own = ["--program", "program.py"]
    commands = [
        ["tasks"],
        ["doctor"],
        ["demos", "collect", "reach", *own, "--episodes", "2"],
        ["demos", "collect", "reach", "--out", "scripted.h5"],
        ["run", "reach", *own],
        ["distill", "reach", *own],
        ["demos", "teleop", "reach"],
        ["demos", "export", "demos/reach.h5", "--format", "lerobot"],
    ]
    done = without((*VISION, *OTHERS), commands, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 2, 2, 2, 2, 2]"
    errors = done.stderr.splitlines()
    assert len(errors) == 5
    assert NAMED in errors[0]
    assert all("pip install 'expertgen[report]'" in line for line in errors[1:3])
    assert "pip install 'expertgen[serve,vision]'" in errors[3]
    assert "datasets of LeRobot need pyarrow: pip install 'expertgen[lerobot]'" in errors[4]
    assert {path.name for path in tmp_path.iterdir()} == {"program.py", "demos"}
