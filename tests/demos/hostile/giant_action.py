"""Returns ten million numbers instead of two."""

import numpy


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        return numpy.zeros(10_000_000)
