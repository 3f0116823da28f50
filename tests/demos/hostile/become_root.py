"""Becomes root."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.setuid(0)
        print("BREACH")
        return [0.0, 0.0]
