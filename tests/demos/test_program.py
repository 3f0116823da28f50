import sys

import numpy as np
import pytest

from expertgen.demos.program import action_problem, load_program, visible_fields
from expertgen.errors import FileError, UsageError
from tests.toys import point_task

GOOD = """\
from __future__ import annotations
from dataclasses import dataclass

import numpy as np


@dataclass
class Memory:
    steps: int = 0


class Program:
    def reset(self, seed: int) -> None:
        self.memory = Memory()

    def act(self, observation):
        self.memory.steps += 1
        towards = observation["goal_position"] - observation["point_position"]
        return np.clip(towards / 0.1, -1, 1) / self.memory.steps
"""

OBSERVATION = {"point_position": np.zeros(2, np.float32), "goal_position": np.full(2, 0.05, np.float32)}


def load(tmp_path, source):
    path = tmp_path / "reach.py"
    path.write_text(source)
    return load_program(path, point_task())


def act_line(body):
    return f"class Program:\n    def reset(self, seed): pass\n    def act(self, observation):\n        {body}\n"


def test_each_program_has_its_own_memory(tmp_path):
    make_program = load(tmp_path, GOOD)
    first, second = make_program(), make_program()
    first.reset(0)
    second.reset(0)
    assert first.act(OBSERVATION).tolist() == [0.5, 0.5]
    assert first.act(OBSERVATION).tolist() == [0.25, 0.25]
    assert second.act(OBSERVATION).tolist() == [0.5, 0.5]
    assert second.act(OBSERVATION).dtype == np.float32
    first.reset(0)
    assert first.act(OBSERVATION).tolist() == [0.5, 0.5]


def test_loading_leaves_no_cache_beside_the_file(tmp_path):
    load(tmp_path, GOOD)
    assert [p.name for p in tmp_path.iterdir()] == ["reach.py"]


def test_a_changed_file_is_read_anew(tmp_path):
    load(tmp_path, GOOD)
    program = load(tmp_path, act_line("return [0.25, 0.5]"))()
    program.reset(0)
    assert program.act(OBSERVATION).tolist() == [0.25, 0.5]


REFUSED = {
    "syntax": ("class Program:\n    def reset(self, seed) pass\n", r"reach\.py, line 2: expected ':'"),
    "import": ("import numpy\nimport nonsense_module\n", r"reach\.py, line 2: ModuleNotFoundError: No module named"),
    "exit": ("raise SystemExit(3)\n", r"reach\.py, line 1: SystemExit: 3"),
    "no class": ("class Programm:\n    pass\n", r"reach\.py defines no class Program; give it one with reset"),
    "a function": ("def Program():\n    pass\n", r"reach\.py defines no class Program"),
    "no act": (
        "class Program:\n    def reset(self, seed): pass\n",
        r"class Program has no method act\(self, observation\)",
    ),
    "signature": (
        "class Program:\n    def reset(self): pass\n    def act(self, observation): pass\n",
        r"reach\.py, line 2: reset must take \(self, seed\)",
    ),
    "many arguments": (
        "class Program:\n    def reset(self, seed): pass\n    def act(self, hand, goal): pass\n",
        r"reach\.py, line 3: act must take \(self, observation\)",
    ),
    "constructor": (
        "class Program:\n    def __init__(self): self.x = 1 / 0\n    def reset(self, seed): pass\n"
        "    def act(self, observation): pass\n",
        r"reach\.py, line 2: ZeroDivisionError: division by zero",
    ),
    "constructor arguments": (
        "class Program:\n    def __init__(self, gain): pass\n    def reset(self, seed): pass\n"
        "    def act(self, observation): pass\n",
        r"reach\.py: TypeError: .*missing 1 required positional argument: 'gain'",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_unfit_file_is_refused_in_one_line(tmp_path, kind):
    source, message = REFUSED[kind]
    with pytest.raises(FileError, match=message) as error:
        load(tmp_path, source)
    assert "\n" not in str(error.value)


def test_missing_and_unreadable_file(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        load_program(tmp_path / "none.py", point_task())
    with pytest.raises(FileError, match="cannot be read as text"):
        load_program(tmp_path, point_task())
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="cannot be read as text"):
        load_program(tmp_path / "binary.py", point_task())


MISTAKES = {
    "raises": ("return 1 / 0", r"reach\.py, line 4: ZeroDivisionError: division by zero"),
    "raises in numpy": ("import numpy; return numpy.zeros(2) + numpy.zeros(3)", r"reach\.py, line 4: ValueError: "),
    "exits": ("exit()", r"reach\.py, line 4: SystemExit"),
    "unknown field": (
        "return observation['goal_positon']",
        r"line 4: there is no observation field 'goal_positon'; did you mean 'goal_position'",
    ),
    "far field": ("return observation['xyz']", r"field 'xyz'; there are point_position, goal_position"),
    "other key": ("return {}[3]", r"line 4: KeyError: 3"),
    "nan": ("return [0.0, float('nan')]", r"reach\.py, line 3: act returned a value that is not finite: \[0\.0, nan\]"),
    "shape": ("return [0.0] * 4", r"reach\.py, line 3: act returned shape \[4\] instead of \[2\]"),
    "nothing": ("pass", r"reach\.py, line 3: act returned nothing"),
    "text": ("return 'left'", r"reach\.py, line 3: act returned a str instead of 2 numbers"),
    "changes": (
        "observation['goal_position'][0] = 1",
        r"reach\.py, line 4: ValueError: assignment destination is read",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistake_while_running_names_the_line(tmp_path, kind):
    body, message = MISTAKES[kind]
    program = load(tmp_path, act_line(body))()
    program.reset(0)
    observation = {name: array.copy() for name, array in OBSERVATION.items()}
    for array in observation.values():
        array.flags.writeable = False
    with pytest.raises(UsageError, match=message) as error:
        program.act(observation)
    assert "\n" not in str(error.value)


def test_mistake_in_reset_names_the_line(tmp_path):
    source = (
        "class Program:\n    def reset(self, seed):\n        self.x = seed.x\n    def act(self, o): return [0, 0]\n"
    )
    with pytest.raises(UsageError, match=r"reach\.py, line 3: AttributeError"):
        load(tmp_path, source)().reset(0)


def test_action_problem():
    assert action_problem(np.zeros(3), 3) is None
    assert action_problem([0, 5, -7], 3) is None
    assert action_problem(np.zeros((1, 3)), 3) == "shape [1, 3] instead of [3]"


def test_visible_fields_are_the_named_ones():
    task = point_task()
    assert visible_fields(task) == {"point_position": slice(0, 2), "goal_position": slice(2, 4)}


def test_programs_do_not_shadow_modules(tmp_path):
    (tmp_path / "json.py").write_text(GOOD)
    load_program(tmp_path / "json.py", point_task())
    assert sys.modules["json"].__name__ == "json"
