"""Takes open files away from the process that started it."""

import os
import resource


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (3, 3))
        print("BREACH")
        return [0.0, 0.0]
