"""System calls that Python has no function for, by ctypes. Linux only."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: int | bytes | ctypes.Array | ctypes.Structure | None) -> int:
    """Makes a system call.

    Args:
        number: its number on this machine's architecture.
        arguments: integers, or what is to be passed by address.

    Raises:
        OSError: as the kernel refuses it.
    """
    passed = []
    for argument in arguments:
        if isinstance(argument, int):
            passed.append(ctypes.c_long(argument))
        elif isinstance(argument, ctypes.Structure):
            passed.append(ctypes.byref(argument))
        else:
            passed.append(argument)
    return _checked(_libc.syscall(ctypes.c_long(number), *passed))


def prctl(option: int, *arguments: int | ctypes.Structure) -> None:
    """Changes a property of this process; raises OSError as the kernel refuses it."""
    passed = [ctypes.byref(a) if isinstance(a, ctypes.Structure) else ctypes.c_ulong(a) for a in arguments]
    passed += [ctypes.c_ulong(0)] * (4 - len(passed))
    _checked(_libc.prctl(ctypes.c_int(option), *passed))


def unshare(flags: int) -> None:
    """Moves this process into new namespaces; raises OSError as the kernel refuses it."""
    _checked(_libc.unshare(ctypes.c_int(flags)))


def mount(kind: bytes | None, target: bytes, flags: int, options: bytes | None = None) -> None:
    """Mounts a file system of a kind, or changes a mount; raises OSError as the kernel refuses it."""
    _checked(_libc.mount(kind, target, kind, ctypes.c_ulong(flags), options))


def detach(target: bytes) -> None:
    """Takes a mount, and what is mounted below it, out of sight; raises OSError as the kernel refuses it."""
    mnt_detach = 2
    _checked(_libc.umount2(target, ctypes.c_int(mnt_detach)))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
