"""Closes everything that is open."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.closerange(0, 100)
        return [0.0, 0.0]
