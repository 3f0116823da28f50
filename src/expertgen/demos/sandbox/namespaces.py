"""A world of its own for a process: no network interface, and a root folder with nothing in it but what it may read.

The new root is a small read-only file system in memory. What may be read is attached to it, read-only, at its own
path; `/tmp` is the scratch folder, in memory too. The old root is out of sight: no path leads to a home, or to `/proc`.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Sequence
from pathlib import PurePosixPath

from expertgen.demos.sandbox.system import detach, mount, syscall, unshare

SCRATCH = "/tmp"

_NEW_USER, _NEW_MOUNT, _NEW_NETWORK, _NEW_IPC, _NEW_UTS = 0x10000000, 0x00020000, 0x40000000, 0x08000000, 0x04000000
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CLONE_TREE, _RECURSIVE, _EMPTY_PATH, _FROM_EMPTY_PATH = 0x1, 0x8000, 0x1000, 0x4
_READ_ONLY, _NO_SETUID, _NO_DEVICES = 0x1, 0x2, 0x4
_MS_NOSUID, _MS_NODEV, _MS_PRIVATE, _MS_REC = 0x2, 0x4, 1 << 18, 1 << 14
_HERE = -100  # AT_FDCWD
_FILES = 256


def enter_namespaces(readable: Sequence[str], scratch: int) -> None:
    """Moves this process, which must have one thread, into namespaces of its own and a root folder of its own.

    Root moves directly; anybody else through a user namespace, in which they may.

    Args:
        readable: folders and files that can be read in there.
        scratch: size of the scratch folder [bytes].

    Raises:
        OSError: if the kernel, or whoever watches over it, does not allow it. The process may be half moved then.
    """
    user, group = os.geteuid(), os.getegid()
    unshare((_NEW_USER if user else 0) | _NEW_MOUNT | _NEW_NETWORK | _NEW_IPC | _NEW_UTS)
    if user:
        for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
    mount(None, b"/", _MS_REC | _MS_PRIVATE)
    trees = [(path, _read_only_copy(path)) for path in _topmost(readable)]
    null = syscall(_OPEN_TREE, _HERE, b"/dev/null", _CLONE_TREE)
    mount(b"tmpfs", b"/tmp", _MS_NOSUID | _MS_NODEV, b"size=1m,mode=755")
    os.chdir("/tmp")
    os.makedirs(SCRATCH.lstrip("/"))
    mount(
        b"tmpfs", SCRATCH[1:].encode(), _MS_NOSUID | _MS_NODEV, f"size={scratch},nr_inodes={_FILES},mode=1777".encode()
    )
    for path, tree in [*trees, ("/dev/null", null)]:  # after the scratch folder, below which some may lie
        _attach(tree, path.lstrip("/"))
    syscall(_PIVOT_ROOT[os.uname().machine], b".", b".")
    detach(b".")
    os.chdir("/")
    _set_attributes(_HERE, b"/", 0, _READ_ONLY)
    os.chdir(SCRATCH)


def _topmost(paths: Sequence[str]) -> list[str]:
    """Leaves out what lies below another path."""
    kept: list[str] = []
    for path in sorted(paths):
        if not any(PurePosixPath(path).is_relative_to(folder) for folder in kept):
            kept.append(path)
    return kept


def _read_only_copy(path: str) -> int:
    """Copies the mounts at and below a path; returns the descriptor of the copy, which is read-only."""
    tree = syscall(_OPEN_TREE, _HERE, os.fsencode(path), _CLONE_TREE | _RECURSIVE)
    _set_attributes(tree, b"", _EMPTY_PATH | _RECURSIVE, _READ_ONLY | _NO_SETUID | _NO_DEVICES)
    return tree


def _set_attributes(folder: int, path: bytes, flags: int, attributes: int) -> None:
    class MountAttributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace")]

    value = MountAttributes(attributes, 0, 0, 0)
    syscall(_MOUNT_SETATTR, folder, path, flags, value, ctypes.sizeof(value))


def _attach(tree: int, path: str) -> None:
    """Attaches a copy at a path below the working folder, which is made first."""
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()
    syscall(_MOVE_MOUNT, tree, b"", _HERE, os.fsencode(path), _FROM_EMPTY_PATH)
    os.close(tree)
