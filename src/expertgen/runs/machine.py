"""What the machine needs to be told once at start so that small networks run fast and give the same bits every time."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys

import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def prepare_process(threads: int = 1) -> None:
    """Sets matrix precision, thread count, denormals and the allocator. Idempotent; call it before any work.

    One torch thread by default: sums are then always taken in the same order, so the same seed gives the same bits on any
    number of cores, and networks of this size gain almost nothing from a second one.
    """
    torch.set_float32_matmul_precision("medium")
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        # By default glibc hands large temporaries back to the kernel, which then zeroes fresh pages for the next ones.
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TOP_PAD, 64 << 20)


def available_cores() -> int:
    """Number of cores this process may run on (its affinity, not the machine's size)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_mb() -> float:
    """Largest resident memory so far, of this process and of its largest finished child [MB]."""
    scale = 1024 if sys.platform != "darwin" else 1024 * 1024
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / scale
