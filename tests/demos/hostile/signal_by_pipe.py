"""Has the kernel kill the process that started it, when a pipe becomes ready."""

import fcntl
import os
import signal


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        reader, writer = os.pipe()
        fcntl.fcntl(reader, fcntl.F_SETOWN, os.getppid())
        fcntl.fcntl(reader, 10, signal.SIGKILL)  # F_SETSIG
        fcntl.fcntl(reader, fcntl.F_SETFL, fcntl.fcntl(reader, fcntl.F_GETFL) | os.O_ASYNC)
        os.write(writer, b"x")
        print("BREACH")
        return [0.0, 0.0]
