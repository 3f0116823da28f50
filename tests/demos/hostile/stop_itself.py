"""Stops, as if somebody had pressed a key."""

import os
import signal


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.kill(os.getpid(), signal.SIGSTOP)
        return [0.0, 0.0]
