"""The documentation runs: the example of a task of one's own, from its page, and the page's table of unsound tasks."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from expertgen.demos.collect import collect
from expertgen.demos.program import load_program
from expertgen.runs.progress import drain
from expertgen.tasks.audit_record import shipped_record
from expertgen.tasks.registry import get_task, make_env

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The page's Python files, in the working directory."""
    page = (DOCS / "bring_your_own_task.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("my_tasks", "gym_tasks", "check"):
        sys.modules.pop(name, None)


def test_the_example_is_a_task_that_conforms_and_can_be_done(example):
    task = get_task("my_tasks:PARK")
    importlib.import_module("check")
    env = make_env(task, 8)
    demos = drain(collect(env, load_program(example / "drive.py", task), 16, 0, "drive.py"))
    assert 4 <= demos.successes <= 16
    env.reset(seed=0)
    for _ in range(task.horizon):
        _, _, terminated, _, info = env.step(np.ones((8, 2), np.float32))
    assert terminated.all(), "full speed ahead must be a failure"
    assert not info["success"].any()


def test_the_gymnasium_example_is_a_task(example):
    assert get_task("gym_tasks:SLIDE").action_size == 4


def test_the_page_on_tasks_names_all_unsound_tasks():
    page = (DOCS / "tasks.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([\w-]+)` \| \d+, \d+, \d+ \|", page, flags=re.MULTILINE))
    assert named == {name for name, audit in shipped_record().tasks.items() if not audit.sound}
