"""Takes the alarm clock away, and sleeps."""

import signal
import time


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        time.sleep(1000)
        return [0.0, 0.0]
