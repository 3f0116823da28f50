"""Kills the process that started it."""

import os
import signal


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.kill(os.getppid(), signal.SIGKILL)
        print("BREACH")
        return [0.0, 0.0]
