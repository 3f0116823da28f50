"""What a process sets once at its start, where it can be set and where it cannot."""

import ctypes
import mmap
import os
import platform
import subprocess
import sys
import time

import pytest
import torch

from expertgen.runs import machine


def test_prepared_twice_is_prepared_once():
    machine.prepare_process()
    machine.prepare_process()
    assert torch.get_num_threads() == 1
    assert torch.get_float32_matmul_precision() == "high"


def test_products_of_float32_keep_their_bits_on_this_processor():
    machine.prepare_process()
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(256, 128, generator=generator), torch.randn(128, 128, generator=generator)
    torch.testing.assert_close(a @ b, (a.double() @ b.double()).float(), rtol=0, atol=1e-3)


def test_the_allocator_is_left_alone_where_it_is_not_glibc(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("no C library may be touched"))
    machine.prepare_process()
    machine.release_memory()


def test_the_allocator_is_told_where_it_is_glibc(monkeypatch):
    calls = []

    class Library:
        def mallopt(self, option, value):
            calls.append((option, value))

        def malloc_trim(self, pad):
            calls.append(("trim", pad))

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    machine.prepare_process()
    machine.release_memory()
    # malloc.h: M_MMAP_THRESHOLD is -3, M_TRIM_THRESHOLD -1, M_TOP_PAD -2.
    assert calls == [(-3, 2**30), (-1, 2**30), (-2, 2**26), ("trim", 0)]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinities")
def test_cores_are_those_of_this_process():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert machine.available_cores() == len(before)


def test_peak_memory_is_in_megabytes():
    with machine.PeakMemory() as memory:
        before = memory.look()
        block = mmap.mmap(-1, 200 << 20)  # pages of its own: an allocator may have freed ones at hand
        block.write(b"x" * (200 << 20))
        assert 30 < before < 20_000
        assert memory.look() > before + 150
        block.close()
        assert memory.look() > before + 150


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="only Linux tells")
def test_peak_memory_counts_children_of_children_that_run_at_the_same_time():
    grandchild = "block = bytearray(b'x' * (100 << 20)); print('up', flush=True); input()"
    child = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {grandchild!r}]).returncode)"
    with machine.PeakMemory() as memory:
        before = memory.look()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen([sys.executable, "-c", child], **pipes) for _ in range(2)]
        assert [process.stdout.readline() for process in processes] == ["up\n"] * 2
        assert memory.look() > before + 180
        for process in processes:
            process.communicate("\n")
            assert process.returncode == 0


def test_peak_memory_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(machine, "_tree_memory", lambda: 0.0)
    with machine.PeakMemory() as memory:
        assert 30 < memory.look() < 20_000


def test_description_and_versions():
    described = machine.machine_description()
    assert described["cores"] >= 1
    assert described["cpu"]
    assert machine.package_versions()["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        # What two virtual machines tell, of which one was twice as fast as the other.
        ("cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\nmodel\t\t: 3\n", "AMD EPYC (family 26 model 2)"),
        ("cpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n", "AMD EPYC (family 25 model 1)"),
        ("model name\t: Cortex: A72\n", "Cortex: A72"),
        ("BogoMIPS\t: 50.00\n", platform.processor() or platform.machine()),
    ],
)
def test_processors_of_one_name_are_told_apart(tmp_path, lines, name):
    (tmp_path / "cpuinfo").write_text(lines)
    assert machine.processor_name(tmp_path / "cpuinfo") == name
    assert machine.processor_name(tmp_path / "missing") == (platform.processor() or platform.machine())


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_a_worker_dies_with_its_parent():
    worker = (
        "import time; from expertgen.runs.machine import die_with_parent; "
        "die_with_parent(); print('ready', flush=True); time.sleep(60)"
    )
    parent = (
        "import subprocess, sys, time; "
        f"child = subprocess.Popen([sys.executable, '-c', {worker!r}]); print(child.pid, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    lines = {process.stdout.readline().strip() for _ in range(2)}
    assert "ready" in lines
    child = int((lines - {"ready"}).pop())
    process.kill()
    process.wait()
    process.stdout.close()
    for _ in range(500):
        if not _alive(child):
            return
        time.sleep(0.02)
    os.kill(child, 9)
    pytest.fail("the worker outlived its parent")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_a_worker_whose_parent_died_before_it_began_does_not_begin(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
import multiprocessing, os, time

def work(parent):
    from expertgen.runs.machine import die_with_parent

    print("up", flush=True)
    while os.getppid() == parent:
        time.sleep(0.01)
    die_with_parent()
    print("began", flush=True)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work, args=(os.getpid(),)).start()
""")
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    process.kill()
    assert process.communicate()[0] == ""  # ends with the last process that holds it


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
