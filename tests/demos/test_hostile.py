"""Programs that mean harm, each of which says in its first line what it tries: none gets it, and each gets a verdict.

A hostile program prints BREACH where it has got what it wants. `@HOME@` in its text is a folder with a file `@CANARY@`
that it must not change and a file `@SECRET@` that it must not read, both open to everybody; `@TOKEN@` is what stands in
that file and in the environment of this process; `@PORT@` is a server that must not be called.
"""

import contextlib
import ctypes
import errno
import io
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from expertgen.demos.failure import LONGEST_TEXT, Failure, Verdict
from expertgen.demos.sandbox.host import examine_confinement
from expertgen.demos.sandbox.limits import Limits
from expertgen.demos.sandbox.programs import SandboxedPrograms
from expertgen.demos.sandbox.system import prctl
from expertgen.errors import FileError, UsageError
from expertgen.tasks.spec import TaskSpec

HOSTILE = Path(__file__).parent / "hostile"
TOKEN = "sk-4711-" + "0815"
MEMORY_MB = 640
LIMITS = Limits(call_seconds=30.0, memory=MEMORY_MB << 20, output=4 << 20)
SHORT = replace(LIMITS, call_seconds=1.0, episode_seconds=2.5, load_seconds=4.0)
"""For programs that are to run out of time; for others a busy machine must not look like that."""

TASK = TaskSpec(
    id="hostile",
    simulator="none",
    simulator_id="none",
    description="",
    success="never",
    observation_size=3,
    action_names=("x", "y"),
    action_unit="",
    control_rate=10.0,
    horizon=10,
    fields=(),
    observation_groups={},
)

# Depending on what the kernel offers, a file that is out of bounds is refused, or there is no such file.
HIDDEN = {Verdict.FORBIDDEN, Verdict.ERROR}
FORBIDDEN, ERROR, ACTION = {Verdict.FORBIDDEN}, {Verdict.ERROR}, {Verdict.ACTION}
TIME, MEMORY, OUTPUT = {Verdict.TIME}, {Verdict.MEMORY}, {Verdict.OUTPUT}
CRASH, PROTOCOL = {Verdict.CRASH}, {Verdict.PROTOCOL}
GOES_ON = {None}
"""Nothing fails, because the program hides that it was refused, or finds nothing."""

EXPECTED = {
    "abort": CRASH,
    "become_root": FORBIDDEN,
    "change_mode": FORBIDDEN,
    "change_times": FORBIDDEN,
    "close_descriptors": CRASH | PROTOCOL,
    "code_at_exit": ERROR,
    "deaf_sleep": TIME,
    "deep_recursion": ERROR,
    "delete_file": HIDDEN,
    "delete_files": HIDDEN,
    "devices": FORBIDDEN,
    "dot_dot": HIDDEN,
    "download": ERROR | FORBIDDEN,
    "endless_import": TIME,
    "exit_process": CRASH,
    "false_array": ERROR,
    "fill_disk": HIDDEN,
    "forge_answer": PROTOCOL | CRASH,
    "forge_report": PROTOCOL | CRASH,
    "fork_bomb": FORBIDDEN,
    "giant_action": ACTION,
    "giant_error": ERROR,
    "giant_output": OUTPUT,
    "hard_link_out": HIDDEN,
    "infinite_loop": TIME,
    "introspection": HIDDEN,
    "kill_everybody": FORBIDDEN,
    "kill_parent": FORBIDDEN,
    "list_home": HIDDEN,
    "loop_in_c": TIME,
    "many_files": ERROR,
    "many_threads": ERROR,
    "memory_bomb": MEMORY,
    "memory_bomb_at_once": MEMORY,
    "memory_hog": MEMORY,
    "not_a_number": ACTION,
    "open_socket": FORBIDDEN,
    "other_architecture": CRASH | FORBIDDEN,
    "overwrite_file": HIDDEN,
    "own_alarm": TIME,
    "own_syscalls": FORBIDDEN,
    "plant_package": HIDDEN,
    "raise_exit": ERROR,
    "raise_limits": HIDDEN,
    "read_environment": GOES_ON,
    "read_key": HIDDEN,
    "read_parent_memory": HIDDEN,
    "rename_file": HIDDEN,
    "replace_process": FORBIDDEN,
    "run_shell": FORBIDDEN | ERROR,
    "run_shell_quietly": GOES_ON,
    "segmentation_fault": CRASH,
    "send_datagram": FORBIDDEN,
    "shared_memory": HIDDEN,
    "signal_by_pipe": FORBIDDEN,
    "slow_episode": TIME,
    "slow_pattern": TIME,
    "speak_garbage": PROTOCOL | CRASH,
    "speak_unasked": PROTOCOL,
    "starve_parent": FORBIDDEN,
    "stop_itself": TIME,
    "stubborn_loop": TIME,
    "swallow_everything": GOES_ON,
    "symlink_out": FORBIDDEN,
    "syntax_bomb": ERROR | MEMORY | CRASH,
    "terminal_codes": ERROR,
    "truncate_file": FORBIDDEN,
    "undo_confinement": HIDDEN,
    "unix_socket": FORBIDDEN,
    "walk_everything": GOES_ON,
    "write_home": HIDDEN,
}


@dataclass
class Outcome:
    """What became of a hostile program."""

    failure: Failure | None
    folder: dict[str, str]
    survivors: list[str]


@pytest.fixture(scope="module")
def confined():
    if lacking := examine_confinement().lacking:
        pytest.skip(f"this machine cannot confine a process ({lacking})")


@pytest.fixture(scope="module")
def outcomes(confined, tmp_path_factory):
    """Runs all of them, a few at a time because many just wait.

    Returns name → outcome, what was printed, and the largest process until then.
    """
    largest_before = largest_process()
    home = tmp_path_factory.mktemp("home")
    for folder in (home, *home.parents[:2]):
        with contextlib.suppress(PermissionError):
            folder.chmod(0o755)
    os.environ["EXPERTGEN_TEST_KEY"] = TOKEN
    printed = io.StringIO()
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.redirect_stderr(printed):
        with ThreadPoolExecutor(4) as pool:
            found = dict(zip(EXPECTED, pool.map(lambda name: attack(name, home / name, server), EXPECTED), strict=True))
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()
    del os.environ["EXPERTGEN_TEST_KEY"]
    return found, printed.getvalue(), largest_before


def attack(name, home, server):
    """Runs a hostile program in two environments."""
    home.mkdir()
    words = {"HOME": home, "SECRET": home / "secret.txt", "CANARY": home / "canary.txt", "TOKEN": TOKEN}
    words["PORT"] = server.getsockname()[1]
    source = (HOSTILE / f"{name}.py").read_text()
    for word, value in words.items():
        source = source.replace(f"@{word}@", str(value))
    path = home.parent / f"{name}.py"
    path.write_text(source)
    words["SECRET"].write_text(TOKEN)
    words["CANARY"].write_text("alive")
    for file in home.iterdir():
        file.chmod(0o666)
    failure, session = None, None
    try:
        with SandboxedPrograms(path, TASK, SHORT if EXPECTED[name] == TIME else LIMITS) as programs:
            session = programs._guest._process.pid
            failure = play(programs)
    except FileError as error:
        said = str(error)  # of what is found while it is loaded, only the line remains
        failure = Failure(next((v for v in Verdict if said.startswith(f"{v.value}: ")), Verdict.ERROR), said)
    folder = {file.name: f"{file.read_text()} {file.stat().st_mode & 0o777:o}" for file in home.iterdir()}
    return Outcome(failure, folder, processes_of(session))


def play(programs):
    """The first failure in two environments, or None."""
    ids = np.arange(2)
    failures = programs.reset(ids, [1, 2])
    for _ in range(4):
        if failures:
            break
        actions, failures = programs.act(np.zeros((2, 3), np.float32), ids)
        assert actions.shape == (2, 2)
        assert np.isfinite(actions).all()
    return failures.get(0, next(iter(failures.values()), None))


def largest_process():
    """Memory of the largest of this process and its children so far [bytes]."""
    # Its children begin with what it has; what itself began with does not count, so not RUSAGE_SELF.
    own = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]
    return max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) << 10


def processes_of(session):
    """Processes that a guest left behind: all of them would be in its session."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            after_name = (process / "stat").read_text().rpartition(")")[2].split()
            if int(after_name[3]) == session and after_name[0] != "Z":
                found.append(process.name)
    return found


def test_every_hostile_program_is_listed():
    assert sorted(EXPECTED) == sorted(path.stem for path in HOSTILE.glob("*.py"))
    assert len(EXPECTED) >= 30


@pytest.mark.parametrize("name", EXPECTED)
def test_a_hostile_program_is_contained(name, outcomes):
    found, printed, _ = outcomes
    outcome = found[name]
    assert (outcome.failure and outcome.failure.verdict) in EXPECTED[name], outcome.failure
    assert outcome.folder == {"secret.txt": f"{TOKEN} 666", "canary.txt": "alive 666"}
    assert outcome.survivors == []
    said = [line for line in printed.splitlines() if f"/{name}.py: " in line]
    assert not [line for line in said if "BREACH" in line or TOKEN in line]
    if outcome.failure:
        assert len(outcome.failure.text) <= LONGEST_TEXT + 300
        assert outcome.failure.text.isprintable()


def test_nothing_steers_the_terminal(outcomes):
    _, printed, _ = outcomes
    assert all(line.isprintable() for line in printed.splitlines())
    assert len(printed) < 100_000


def test_memory_is_bounded(outcomes):
    bound = (MEMORY_MB + 100) << 20
    if outcomes[2] > bound:  # never in the process that the last test of this file starts
        pytest.skip("other tests in this process took more memory before, which hides how much these programs took")
    assert largest_process() < bound


def test_the_rest_goes_on_in_a_new_process(confined, tmp_path):
    path = tmp_path / "sometimes.py"
    path.write_text(
        "import os\nclass Program:\n"
        "    def reset(self, seed): self.seed = seed\n"
        "    def act(self, observation):\n"
        "        if self.seed == 13: os._exit(0)\n"
        "        return [0.25, self.seed]\n"
    )
    ids, observation = np.arange(3), np.zeros((3, 3), np.float32)
    with SandboxedPrograms(path, TASK, LIMITS) as programs:
        assert programs.reset(ids, [1, 13, 2]) == {}
        actions, failures = programs.act(observation, ids)
        assert set(failures) == {0, 1, 2}
        assert failures[1].verdict is Verdict.CRASH
        assert not actions.any()
        assert programs.reset(ids[:2], [3, 4]) == {}
        actions, failures = programs.act(observation, ids)
        np.testing.assert_array_equal(actions, [[0.25, 3], [0.25, 4], [0, 0]])
        assert set(failures) == {2}  # its episode was in the process that died
        for _ in range(LIMITS.deaths):
            programs.reset(ids, [13, 13, 13])
            programs.act(observation, ids)
        assert set(programs.reset(ids, [1, 2, 3])) == {0, 1, 2}  # too many deaths


UNSHARE, LANDLOCK = {"x86_64": 272, "aarch64": 97}.get(os.uname().machine, 0), 444


def without(*numbers):
    """Threads in which the kernel seems to lack some system calls; their processes inherit that."""

    def deny():
        steps = [struct.pack("<HBBI", 0x20, 0, 0, 0)]
        for number in numbers:
            steps += [
                struct.pack("<HBBI", 0x15, 0, 1, number),
                struct.pack("<HBBI", 0x06, 0, 0, 0x50000 | errno.ENOSYS),
            ]
        program = b"".join([*steps, struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)])

        class Program(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]

        prctl(38, 1)
        prctl(22, 2, Program(len(program) // 8, program))

    return ThreadPoolExecutor(4, initializer=deny)


@pytest.mark.parametrize("missing", ["namespaces", "landlock"])
def test_either_of_two_mechanisms_is_enough(missing, confined, tmp_path):
    names = ["read_key", "list_home", "dot_dot", "overwrite_file", "delete_file", "truncate_file", "hard_link_out"]
    names += ["plant_package", "fill_disk", "shared_memory", "devices", "read_environment", "read_parent_memory"]
    names += ["open_socket", "kill_parent", "signal_by_pipe", "undo_confinement"]
    printed = io.StringIO()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        contextlib.redirect_stderr(printed),
        without(UNSHARE if missing == "namespaces" else LANDLOCK) as pool,
    ):
        found = pool.submit(examine_confinement).result()
        if found.lacking:
            pytest.skip(f"the other one is not there ({found.lacking})")
        outcomes = dict(zip(names, pool.map(lambda name: attack(name, tmp_path / name, server), names), strict=True))
    assert missing in found.missing
    for name, outcome in outcomes.items():
        assert (outcome.failure and outcome.failure.verdict) in EXPECTED[name], outcome.failure
        assert outcome.folder == {"secret.txt": f"{TOKEN} 666", "canary.txt": "alive 666"}
    assert "BREACH" not in printed.getvalue()
    assert TOKEN not in printed.getvalue()


def test_without_both_a_program_is_refused_in_one_line(tmp_path):
    path = tmp_path / "fine.py"
    path.write_text("class Program:\n    def reset(self, seed): pass\n    def act(self, observation): return [0, 0]\n")
    with without(UNSHARE, LANDLOCK) as pool:
        refused = pool.submit(SandboxedPrograms, path, TASK, LIMITS).exception()
    assert isinstance(refused, UsageError)
    assert "fine.py cannot be confined here (no namespaces: " in str(refused)
    assert "which only a program that you trust should have, add --no-sandbox" in str(refused)
    assert "\n" not in str(refused)


NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_all_of_this_as_somebody_without_privileges(confined, tmp_path):
    paths = [str(Path(__file__).parents[2]), *(path for path in sys.path if path)]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    options = {
        "user": NOBODY,
        "group": NOBODY,
        "extra_groups": [],
        "env": environment,
        "cwd": "/",
        "capture_output": True,
    }
    # An interpreter in the home of root is out of their reach; the system's may do.
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (sys.executable, f"/usr/bin/python{version}"):
        with contextlib.suppress(OSError):
            words = [python, "-c", "import expertgen.demos.sandbox.host, pytest, torch"]
            if subprocess.run(words, check=False, **options).returncode == 0:
                break
    else:
        pytest.skip("no Python with these packages is open to nobody")
    folder = f"/tmp/hostile-{os.getpid()}"
    chosen = ["-k", "contained or bounded", __file__]
    words = [python, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={folder}", *chosen]
    done = subprocess.run(words, text=True, check=False, **options)
    shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" not in done.stdout.lower()
