"""The sandbox with programs that mean well. What the others try is in test_hostile.py."""

import io
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from expertgen.demos.collect import collect
from expertgen.demos.failure import LONGEST_TEXT, Failure, ProgramError, Verdict, counted
from expertgen.demos.program import ProgramBatch, load_program
from expertgen.demos.sandbox import host, protocol
from expertgen.demos.sandbox.host import examine_confinement
from expertgen.demos.sandbox.limits import Limits, readable_paths
from expertgen.demos.sandbox.namespaces import _topmost
from expertgen.demos.sandbox.programs import SandboxedPrograms
from expertgen.demos.sandbox.seccomp import ALLOWED, CHECKED, filter_program
from expertgen.doctor import sandbox_table
from expertgen.errors import FileError
from expertgen.runs.progress import drain
from tests.demos.test_program import GOOD, REFUSED
from tests.toys import PointEnv, point_task

NOISY = """\
import numpy as np


class Program:
    def reset(self, seed):
        self.random = np.random.default_rng(seed)

    def act(self, observation):
        towards = (observation["goal_position"] - observation["point_position"]) / 0.1
        if self.random.uniform() < 0.01:
            raise ValueError("lost [/red] my way")
        return towards + self.random.normal(size=2)
"""


@pytest.fixture(autouse=True, scope="module")
def confined():
    if lacking := examine_confinement().lacking:
        pytest.skip(f"this machine cannot confine a process ({lacking})")


def write(tmp_path, source):
    path = tmp_path / "reach.py"
    path.write_text(source)
    return path


def test_the_same_demonstrations_as_in_this_process(tmp_path):
    path = write(tmp_path, NOISY)
    outside = drain(collect(PointEnv(4), load_program(path, point_task()), 20, 0, "test"))
    with SandboxedPrograms(path, point_task()) as programs:
        assert isinstance(programs, ProgramBatch)
        inside = drain(collect(PointEnv(4), programs, 20, 0, "test"))
    outside.save(tmp_path / "outside")
    inside.save(tmp_path / "inside")
    assert (tmp_path / "outside").read_bytes() == (tmp_path / "inside").read_bytes()
    assert any(demo.failure for demo in inside.demos)
    assert outside.notes == inside.notes


@pytest.mark.parametrize("kind", REFUSED)
def test_an_unfit_file_is_refused_as_in_this_process(kind, tmp_path):
    source, message = REFUSED[kind]
    with pytest.raises(FileError, match=message) as error:
        SandboxedPrograms(write(tmp_path, source), point_task())
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        SandboxedPrograms(tmp_path / "none.py", point_task())


def test_a_slow_call_ends_one_episode_and_no_other(tmp_path):
    source = "import time\n" + GOOD.replace(
        "self.memory = Memory()", "self.memory = Memory()\n        time.sleep(10 * (seed == 1))"
    ).replace("from __future__ import annotations\n", "")
    ids = np.arange(3)
    with SandboxedPrograms(write(tmp_path, source), point_task(), Limits(call_seconds=1.0)) as programs:
        failures = programs.reset(ids, [0, 1, 2])
        assert failures == {1: Failure(Verdict.TIME, f"{tmp_path / 'reach.py'}: reset took longer than 1 s")}
        actions, failures = programs.act(np.ones((2, 4), np.float32), ids[[0, 2]])
        assert not failures
        assert actions.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_processor_time_is_limited(tmp_path):
    limits = Limits(call_seconds=60.0, cpu_seconds=2)
    with SandboxedPrograms(write(tmp_path, act("\n        while True: pass")), point_task(), limits) as p:
        p.reset(np.arange(1), [0])
        _, failures = p.act(np.ones((1, 4), np.float32), np.arange(1))
        assert str(failures[0]) == f"time limit: {tmp_path / 'reach.py'}: it took more than 2 s of processor time"


def test_doctor_says_what_there_is():
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(sandbox_table())
    said = console.export_text()
    assert "confines programs" in said
    assert "seccomp" in said


def test_the_guest_needs_no_torch(tmp_path):
    source = "import sys\nfound = sorted({'torch', 'gymnasium', 'h5py'} & set(sys.modules))\nassert not found, found\n"
    with SandboxedPrograms(write(tmp_path, source + GOOD[len("from __future__ import annotations\n") :]), point_task()):
        pass


def test_installed_packages_can_be_imported_and_the_scratch_folder_written(tmp_path):
    if "namespaces" not in examine_confinement().applied:
        pytest.skip("without namespaces there is no scratch folder")
    source = (
        "import tempfile\nimport h5py\nimport numpy as np\n"
        "with tempfile.TemporaryFile() as file:\n    np.save(file, np.ones(3))\n"
    )
    with SandboxedPrograms(write(tmp_path, source + act()), point_task()):
        pass


def act(body="return [0, 0]"):
    return f"class Program:\n    def reset(self, seed): pass\n    def act(self, observation): {body}\n"


def test_failures_are_one_printable_line():
    failure = Failure(Verdict.CRASH, "a\n b\x1b[31m\0" + "x" * 1000)
    assert str(failure).startswith("crash: a b\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}x")
    assert len(failure.text) == LONGEST_TEXT
    assert str(ProgramError(Failure(Verdict.ERROR, "a.py, line 3: no"))) == "a.py, line 3: no"
    assert counted(["b", "a", "b"]) == "2 times 'b', 1 times 'a'"
    assert counted("abcdefg").endswith("2 other reasons")


def test_rows_have_the_size_that_the_page_says():
    assert protocol.reset_rows(3).nbytes == 3 * (4 + 8)
    assert protocol.act_rows(3, 5).nbytes == 3 * (4 + 5 * 4)
    assert protocol.records(3, 2).nbytes == 3 * (1 + 4 + 2 * 4)
    assert len(protocol.VERDICTS) < 255


def test_what_lies_below_another_path_is_left_out():
    assert _topmost(["/usr/lib/python3", "/usr/lib", "/usr/lib64", "/lib"]) == ["/lib", "/usr/lib", "/usr/lib64"]
    assert not any(path.startswith(("/proc", "/home")) and path.count("/") < 3 for path in readable_paths())


def run_filter(program, architecture, number, *arguments):
    """Runs a filter as the kernel would; returns its verdict."""
    words = [number, architecture, 0, 0]
    for argument in [*arguments, *[0] * (6 - len(arguments))]:
        words += [argument & 0xFFFFFFFF, argument >> 32]
    at = loaded = 0
    while True:
        code, if_true, if_false, value = program[at]
        if code == 0x06:
            return value
        if code == 0x20:
            loaded = words[value // 4]
        at += 1 + ((if_true if loaded == value else if_false) if code == 0x15 else 0)


@pytest.mark.parametrize(("machine", "architecture"), [("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)])
def test_the_filter_step_by_step(machine, architecture):
    allow, kill, refuse, unknown = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
    program = list(struct.iter_unpack("<HBBI", filter_program(machine, process=77)))
    listed = {*ALLOWED[machine].values(), *CHECKED[machine].values()}
    for number in range(600):
        verdict = run_filter(program, architecture, number, 1, 999)
        if number in ALLOWED[machine].values():
            assert verdict == allow
        elif number not in listed:
            assert verdict == refuse
        assert run_filter(program, 0x40000003, number) == kill  # another architecture
    checked = CHECKED[machine]

    def ask(name, *arguments):
        return run_filter(program, architecture, checked[name], *arguments)

    assert ask("kill", 77, 9) == ask("tgkill", 77, 78, 6) == allow
    assert ask("kill", 1, 9) == ask("kill", 2**32 - 1, 9) == ask("kill", 0, 9) == ask("tgkill", 78, 78, 6) == refuse
    assert ask("fcntl", 3, 3) == ask("ioctl", 1, 0x5401) == allow
    assert ask("fcntl", 3, 8, 1) == ask("fcntl", 3, 10, 9) == ask("ioctl", 1, 0x5412) == refuse
    assert ask("prlimit64", 0, 7, 0, 5) == allow
    assert ask("prlimit64", 1, 7, 0, 5) == ask("prlimit64", 0, 7, 4096) == ask("prlimit64", 0, 7, 1 << 32) == refuse
    assert ask("clone3", 4096, 88) == unknown


def test_an_environment_below_the_scratch_folder_can_be_read_and_not_written(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        fact = Path(folder) / "fact.txt"
        Path(folder).chmod(0o755)  # whoever the program runs as
        fact.write_text("0.25")
        monkeypatch.setattr(host, "readable_paths", lambda: [*readable_paths(), folder])
        source = f"""\
class Program:
    def reset(self, seed):
        with open({str(fact)!r}) as file:
            self.value = float(file.read())
        try:
            open({str(fact)!r}, "w")
            self.value = 1.0
        except OSError:
            pass

    def act(self, observation):
        return [self.value, 0.0]
"""
        with SandboxedPrograms(write(tmp_path, source), point_task()) as programs:
            demos = drain(collect(PointEnv(1), programs, 1, 0, "test"))
        assert demos.demos[0].failure == ""
        assert (demos.demos[0].actions == [0.25, 0.0]).all()
        assert fact.read_text() == "0.25"
