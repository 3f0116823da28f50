"""Landlock: the kernel refuses a process every file and folder but those on its list, for good and without privileges.

https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Sequence

from expertgen.demos.sandbox.system import syscall

WHOLE_ABI = 3
"""From this version of the interface on (Linux 6.2) truncating a file is covered, too."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_WRITE_FILE, _READ_FILE, _READ_FOLDER, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_EXECUTE, _REFER, _DEVICE_IOCTL = 1 << 0, 1 << 13, 1 << 15
_FIRST_RIGHTS = (1 << 13) - 1
_TCP = 0b11  # bind, connect
_SCOPES = 0b11  # abstract Unix sockets, signals


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scopes")]


class _BeneathPath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def landlock_abi() -> int:
    """Version of the kernel's interface; 0 where there is none."""
    try:
        return syscall(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def restrict_files(readable: Sequence[str], writable: Sequence[str]) -> None:
    """Refuses this thread every file but those below some paths, for good. It must have no new privileges already.

    Where the kernel can, binding and connecting TCP, abstract Unix sockets and signals to others are refused, too.

    Args:
        readable: files and folders that can be read.
        writable: files and folders that can be written, and files made and removed there.

    Raises:
        OSError: if the kernel does not allow it.
    """
    abi = landlock_abi()
    rights = _FIRST_RIGHTS
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _DEVICE_IOCTL)):
        rights |= right if abi >= since else 0
    ruleset = _Ruleset(rights, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    # Older kernels know a shorter structure, and refuse a longer one only if what is beyond is not 0.
    rules = syscall(_CREATE_RULESET, ruleset, ctypes.sizeof(ruleset), 0)
    for path in readable:
        _allow(rules, path, _READ_FILE | _READ_FOLDER)
    for path in writable:
        _allow(rules, path, rights & ~(_EXECUTE | _DEVICE_IOCTL))
    syscall(_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    beneath_path = 1
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        rights &= _WRITE_FILE | _READ_FILE | _TRUNCATE
    syscall(_ADD_RULE, rules, beneath_path, _BeneathPath(rights, place), 0)
    os.close(place)
