"""What the machine needs to be told once at start so that small networks run fast and give the same bits every time."""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing
import os
import platform
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_PR_SET_PDEATHSIG = 1
_CPUINFO = Path("/proc/cpuinfo")
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def prepare_process(threads: int = 1) -> None:
    """Sets matrix precision, thread count, denormals and the allocator. Idempotent; call it before any work.

    One torch thread by default: sums are then always taken in the same order, so the same seed gives the same bits on
    any number of cores, and networks of this size gain almost nothing from a second one.
    """
    # Not "medium": on a processor with bfloat16 tiles (AMX) that rounds every float32 product to eight bits.
    torch.set_float32_matmul_precision("high")
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        # By default glibc hands large temporaries back to the kernel, which then zeroes fresh pages for the next ones.
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TOP_PAD, 64 << 20)


def release_memory() -> None:
    """Hands freed memory back to the system: for after something large is gone, such as a pool of simulators."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 on a device: always on a GPU, on a CPU only with instructions of its own.

    Without them it is emulated, some thirty times slower than float32.
    """
    return device.type != "cpu" or torch.cpu.get_capabilities().get("avx512_bf16", False)


def available_cores() -> int:
    """Number of cores this process may run on (its affinity, not the machine's size)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PeakMemory:
    """The largest memory of this process and all its descendants together, looked at while it is entered.

    That is once a second, or as often as takes a hundredth of the time: the system walks all pages for the answer.
    Pages that processes share count once: it is their proportional set sizes that are added. Where the system does not
    tell these (it is not Linux), it is the largest resident memory of any one process.
    """

    def __init__(self) -> None:
        self._largest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> float:
        """Looks now, too; returns the largest so far [MB]."""
        self._largest = max(self._largest, _tree_memory() or _largest_process())
        return self._largest

    def _watch(self) -> None:
        pause = 1.0
        while not self._over.wait(pause):
            start = time.perf_counter()
            self.look()
            pause = max(1.0, 100 * (time.perf_counter() - start))


def _tree_memory() -> float:
    """Proportional set size of this process and all its descendants [MB]; 0 where the system does not tell."""
    kilobytes, waiting = 0, [str(os.getpid())]
    while waiting:
        process = Path("/proc", waiting.pop())
        with suppress(OSError):  # it may have ended
            kilobytes += int((process / "smaps_rollup").read_text().split("\nPss:", 1)[1].split(None, 1)[0])
            for thread in (process / "task").iterdir():
                waiting += (thread / "children").read_text().split()
    return kilobytes / 1024


def _largest_process() -> float:
    scale = 1024 if sys.platform != "darwin" else 1024 * 1024
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / scale


def machine_description() -> dict[str, Any]:
    """What a reader of results needs to know of the machine."""
    return {"cores": available_cores(), "cpu": processor_name(), "platform": platform.platform()}


def processor_name(cpuinfo: Path = _CPUINFO) -> str:
    """Name of the processor and, where Linux tells, its family and model.

    A virtual machine often gives the same name to processors of which one is twice as fast as the other.
    """
    first: dict[str, str] = {}
    with suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            first.setdefault(key.strip(), value.strip())
    name = first.get("model name") or platform.processor() or platform.machine()
    known = [f"{word} {first[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if first.get(key)]
    return f"{name} ({' '.join(known)})" if known else name


@cache
def source_digest() -> str:
    """Digest of the package's source code, twelve digits: what a version number does not tell during development."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def package_versions() -> dict[str, str]:
    """Versions of Python and of every package that can change a result; those not installed are left out."""
    versions = {"python": platform.python_version()}
    for name in ("expertgen", "torch", "numpy", "gymnasium", "envpool", "mujoco", "metaworld"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def die_with_parent() -> None:
    """A worker process ends when its parent does, however that ends (Linux; elsewhere it finishes its work first)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # it ended while this one was starting
        os._exit(1)


def prepare_worker() -> None:
    """What a process of a pool does first."""
    die_with_parent()
    prepare_process()
