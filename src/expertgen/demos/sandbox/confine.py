"""Takes away from a process what a demonstration program does not need, for good, with whatever the kernel offers."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from expertgen.demos.sandbox.landlock import WHOLE_ABI, landlock_abi, restrict_files
from expertgen.demos.sandbox.limits import Limits
from expertgen.demos.sandbox.namespaces import SCRATCH, enter_namespaces
from expertgen.demos.sandbox.seccomp import restrict_calls, why_no_seccomp
from expertgen.demos.sandbox.system import prctl, syscall

_NOBODY = 65534
_SET_PARENT_DEATH_SIGNAL, _SET_DUMPABLE, _SET_NO_NEW_PRIVILEGES = 1, 4, 38
_KILLED = 9
_CAPSET = {"x86_64": 126, "aarch64": 91}


@dataclass
class Confinement:
    """What confines a process.

    Attributes:
        applied: mechanism → what it does here.
        missing: mechanism → why it is not there.
    """

    applied: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def lacking(self) -> str:
        """What is not cut off, in the words of the missing mechanisms; empty where the confinement is enough.

        Seccomp cuts the network, other processes and everything else that is not on its list. It cannot tell one file
        from another: for that, Landlock or namespaces are needed as well.
        """
        if "seccomp" in self.applied and self.applied.keys() & {"landlock", "namespaces"}:
            return ""
        return "; ".join(f"no {name}: {why}" for name, why in self.missing.items())


def confine(readable: Sequence[str], limits: Limits, parent: int) -> Confinement:
    """Confines this process, which must have one thread; nothing of it can be undone.

    Args:
        readable: what it may read.
        limits: what it may take.
        parent: id of the process that started it. This one ends with it, or already with the thread that started it.

    Returns:
        what was applied and what could not be. Whether that is enough is for the caller to decide.
    """
    done = Confinement()
    if (threads := len(os.listdir("/proc/self/task"))) > 1:
        done.missing["seccomp"] = f"the process has {threads} threads"
        return done
    os.umask(0o022)
    try:
        enter_namespaces(readable, limits.scratch)
        done.applied["namespaces"] = "mount, network, IPC" + (", user" if os.geteuid() else "")
    except OSError as error:
        done.missing["namespaces"] = error.strerror or str(error)
    readable = [path for path in readable if os.path.exists(path)]
    prctl(_SET_NO_NEW_PRIVILEGES, 1)
    abi = landlock_abi()
    if abi >= WHOLE_ABI:
        scratch = [SCRATCH] if "namespaces" in done.applied else []
        restrict_files(readable, [*scratch, "/dev/null"])
        done.applied["landlock"] = f"version {abi}"
    else:
        done.missing["landlock"] = f"the kernel has version {abi}, {WHOLE_ABI} is needed" if abi else "not there"
    _drop_privileges()
    prctl(_SET_PARENT_DEATH_SIGNAL, _KILLED)
    if os.getppid() != parent:
        sys.exit("the process that wanted this sandbox is gone")
    _set_limits(limits)
    done.applied["limits"] = f"memory {limits.memory >> 20} MB, {limits.open_files} files, {limits.cpu_seconds} s"
    if why := why_no_seccomp():
        done.missing["seccomp"] = why
        return done
    try:
        restrict_calls()
        done.applied["seccomp"] = "computing only: no sockets, processes, threads or signals to others"
    except OSError as error:
        done.missing["seccomp"] = error.strerror or str(error)
    return done


def _drop_privileges() -> None:
    """Root becomes nobody, unless nobody cannot read the interpreter. All capabilities go in any case."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # in a container that has no other user
            os.setgroups([])
            os.seteuid(_NOBODY)
            reads = os.access(os.__file__, os.R_OK, effective_ids=True)
            os.seteuid(0)
            if reads:
                os.setresgid(_NOBODY, _NOBODY, _NOBODY)
                os.setresuid(_NOBODY, _NOBODY, _NOBODY)

    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("process", ctypes.c_int)]

    class Capabilities(ctypes.Structure):
        _fields_ = [("sets", ctypes.c_uint32 * 6)]

    if machine_capset := _CAPSET.get(os.uname().machine):
        syscall(machine_capset, Header(0x20080522, 0), Capabilities())
    prctl(_SET_DUMPABLE, 0)


def _set_limits(limits: Limits) -> None:
    for what, value in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.scratch),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # The kernel says that the processor time is up before it kills; the verdict is read from that.
        resource.setrlimit(what, (value - 1 if what == resource.RLIMIT_CPU else value, value))
