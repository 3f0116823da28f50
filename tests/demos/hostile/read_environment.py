"""Looks for keys in the environments of this process and of the one that started it."""

import contextlib
import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        found = str(dict(os.environ))
        for process in ("self", os.getppid()):
            with contextlib.suppress(OSError), open(f"/proc/{process}/environ") as file:
                found += file.read()
        if "@TOKEN@" in found:
            print("BREACH", found)
        return [0.0, 0.0]
