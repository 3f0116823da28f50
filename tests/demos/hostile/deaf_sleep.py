"""Blocks all signals, and sleeps."""

import signal
import time


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        signal.pthread_sigmask(signal.SIG_SETMASK, range(1, signal.NSIG))
        time.sleep(1000)
        return [0.0, 0.0]
