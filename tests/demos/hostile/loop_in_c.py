"""Never returns from a function in C, which no signal interrupts."""

import itertools


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        return sum(itertools.count())
