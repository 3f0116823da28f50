"""Seccomp: a filter in the kernel that lets a process make the few system calls that computing needs, and no other.

What is missing from the list is refused, and Python raises `PermissionError`: sockets, new processes and threads,
running a file, signals to anybody else, mounting, changing owners and modes, tracing, shared memory, and all that a
future kernel adds. The filter is a classic BPF program, assembled here: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from expertgen.demos.sandbox.system import prctl

ALLOWED = {
    "x86_64": {
        "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8,
        "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
        "rt_sigreturn": 15, "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "access": 21, "select": 23,
        "sched_yield": 24, "mremap": 25, "madvise": 28, "dup": 32, "dup2": 33, "nanosleep": 35, "getitimer": 36,
        "setitimer": 38, "getpid": 39, "exit": 60, "uname": 63, "fsync": 74, "fdatasync": 75, "ftruncate": 77,
        "getcwd": 79, "chdir": 80, "rename": 82, "mkdir": 83, "rmdir": 84, "unlink": 87, "readlink": 89,
        "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "times": 100, "getuid": 102,
        "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110, "sigaltstack": 131, "gettid": 186,
        "futex": 202, "sched_getaffinity": 204, "getdents64": 217, "restart_syscall": 219, "clock_gettime": 228,
        "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "openat": 257, "mkdirat": 258,
        "newfstatat": 262, "unlinkat": 263, "renameat": 264, "readlinkat": 267, "faccessat": 269, "pselect6": 270,
        "ppoll": 271, "set_robust_list": 273, "dup3": 292, "pipe2": 293, "renameat2": 316, "getrandom": 318,
        "statx": 332, "rseq": 334, "faccessat2": 439,
    },
    "aarch64": {
        "getcwd": 17, "dup": 23, "dup3": 24, "mkdirat": 34, "unlinkat": 35, "renameat": 38, "ftruncate": 46,
        "faccessat": 48, "chdir": 49, "openat": 56, "close": 57, "pipe2": 59, "getdents64": 61, "lseek": 62,
        "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67, "pwrite64": 68, "pselect6": 72,
        "ppoll": 73, "readlinkat": 78, "newfstatat": 79, "fstat": 80, "fsync": 82, "fdatasync": 83, "exit": 93,
        "exit_group": 94, "futex": 98, "set_robust_list": 99, "nanosleep": 101, "getitimer": 102, "setitimer": 103,
        "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "sched_getaffinity": 123,
        "sched_yield": 124, "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135,
        "rt_sigreturn": 139, "times": 153, "uname": 160, "getrlimit": 163, "getrusage": 165, "gettimeofday": 169,
        "getpid": 172, "getppid": 173, "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177, "gettid": 178,
        "sysinfo": 179, "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233,
        "renameat2": 276, "getrandom": 278, "statx": 291, "rseq": 293, "faccessat2": 439,
    },
}  # fmt: skip
"""Architecture → system calls that are allowed whatever their arguments, with their numbers."""

CHECKED = {
    "x86_64": {"ioctl": 16, "kill": 62, "fcntl": 72, "tgkill": 234, "prlimit64": 302, "clone3": 435},
    "aarch64": {"fcntl": 25, "ioctl": 29, "kill": 129, "tgkill": 131, "prlimit64": 261, "clone3": 435},
}
"""Those whose arguments decide."""

_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF: load 32 bits of the call, jump if equal, return
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # where they stand in struct seccomp_data
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
# What a descriptor may be asked: terminal or not, its size, bytes waiting, close on exec. Nothing that sends signals.
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)
_FCNTLS = (0, 1, 2, 3, 4, 1030)  # duplicate, get and set close-on-exec, get and set status flags


def why_no_seccomp() -> str:
    """Why there is no filter for this machine, or the empty string."""
    machine = os.uname().machine
    if machine not in ALLOWED or sys.maxsize < 2**32:
        return f"there is no filter for {machine} with {64 if sys.maxsize > 2**32 else 32}-bit Python"
    return ""


def filter_program(machine: str, process: int) -> bytes:
    """Assembles the filter.

    Args:
        machine: architecture, a key of `ALLOWED`.
        process: id of the process, which may send signals to itself.
    """
    allow, refuse = _step(_RETURN, _ALLOW), _step(_RETURN, _REFUSE | errno.EPERM)
    checked = CHECKED[machine]
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, _AUDIT_ARCHITECTURE[machine], 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
    ]
    for number in ALLOWED[machine].values():
        steps += [_step(_EQUAL, number, 0, 1), allow]
    for name, argument, values in (
        ("ioctl", 1, _IOCTLS),
        ("fcntl", 1, _FCNTLS),
        ("kill", 0, (process,)),
        ("tgkill", 0, (process,)),
    ):
        body = [_step(_LOAD, _ARGUMENTS + 8 * argument)]
        for value in values:
            body += [_step(_EQUAL, value, 0, 1), allow]
        steps += [_step(_EQUAL, checked[name], 0, len(body) + 1), *body, refuse]
    # prlimit64 may ask for this process's own limits: process 0, and no new limit (a 64-bit address of 0).
    body = [
        *(_step(_LOAD, _ARGUMENTS), _step(_EQUAL, 0, 0, 5)),
        *(_step(_LOAD, _ARGUMENTS + 16), _step(_EQUAL, 0, 0, 3)),
        *(_step(_LOAD, _ARGUMENTS + 20), _step(_EQUAL, 0, 0, 1)),
        allow,
    ]
    steps += [_step(_EQUAL, checked["prlimit64"], 0, len(body) + 1), *body, refuse]
    # The C library falls back to clone where clone3 does not exist, and reports what that says.
    steps += [_step(_EQUAL, checked["clone3"], 0, 1), _step(_RETURN, _REFUSE | errno.ENOSYS), refuse]
    return b"".join(steps)


def restrict_calls() -> None:
    """Installs the filter for this thread, for good. It must have no new privileges already.

    Raises:
        OSError: if the kernel does not allow it.
    """
    program = filter_program(os.uname().machine, os.getpid())

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]

    set_seccomp, filter_mode = 22, 2
    prctl(set_seccomp, filter_mode, Program(len(program) // 8, program))


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
