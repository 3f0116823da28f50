"""How much a program in the sandbox may take, and what it may read."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one process with the programs of all environments may take.

    Attributes:
        call_seconds: wall-clock time of one call of a program. After it the call is interrupted, and its episode
            fails; after twice that and a second, the process is killed.
        episode_seconds: wall-clock time of all calls of one episode together.
        load_seconds: wall-clock time of starting, and of running the file itself.
        cpu_seconds: processor time of the process. A backstop: the wall-clock limits come first.
        memory: address space [bytes], the interpreter and NumPy (about 300 MB) included.
        scratch: files in its scratch folder [bytes], which are in memory.
        open_files: how many files may be open.
        output: what it may print [bytes].
        deaths: how many processes may die before the rest of the episodes fail.
    """

    call_seconds: float = 5.0
    episode_seconds: float = 120.0
    load_seconds: float = 30.0
    cpu_seconds: int = 3600
    memory: int = 2048 * MB
    scratch: int = 16 * MB
    open_files: int = 64
    output: int = 64 * MB
    deaths: int = 3


def readable_paths() -> list[str]:
    """What a program may read: the interpreter's library, installed packages, shared libraries and time zones."""
    scheme = sysconfig.get_paths()
    paths = [scheme[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [str(Path(np.__file__).parents[1]), f"{sys.base_prefix}/lib", f"{sys.base_prefix}/lib64"]
    if site.ENABLE_USER_SITE:
        paths.append(site.getusersitepackages())
    paths += ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/localtime", "/etc/ld.so.cache"]
    existing = dict.fromkeys(p for path in paths for p in (path, str(Path(path).resolve())) if os.path.exists(p))
    return sorted(existing)


def import_paths() -> list[str]:
    """Where the guest finds installed packages, in the order of this process."""
    readable = [Path(path) for path in readable_paths()]
    return [path for path in sys.path if path and any(Path(path).is_relative_to(folder) for folder in readable)]
