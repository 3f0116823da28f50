"""Changes the times of a file of a user."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.utime("@CANARY@", (0, 0))
        print("BREACH")
        return [0.0, 0.0]
