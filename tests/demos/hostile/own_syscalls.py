"""Calls the kernel past the C library: tracing, mounting, namespaces, io_uring, kernel programs, keys."""

import ctypes
import errno
import os

# clone, ptrace, process_vm_readv, mount, unshare, setns, chroot, bpf, perf_event_open, keyctl, memfd_create,
# userfaultfd, shmget, io_uring_setup, open_tree, pidfd_open, pidfd_getfd, process_madvise
SUSPICIOUS = {
    "x86_64": [56, 101, 310, 165, 272, 308, 161, 321, 298, 250, 319, 323, 29, 425, 428, 434, 438, 440],
    "aarch64": [220, 117, 270, 40, 97, 268, 51, 280, 241, 219, 279, 282, 194, 425, 428, 434, 438, 440],
}


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        libc = ctypes.CDLL(None, use_errno=True)
        for number in SUSPICIOUS[os.uname().machine]:
            ctypes.set_errno(0)
            if libc.syscall(number, os.getppid(), 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() != errno.EPERM:
                print("BREACH", number, ctypes.get_errno())
        raise PermissionError(errno.EPERM, "every one of them is refused")
