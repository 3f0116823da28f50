"""Asks for more memory than the machine has, and writes to all of it."""

import numpy


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        numpy.full(50_000_000_000, 1.0)
        print("BREACH")
        return [0.0, 0.0]
