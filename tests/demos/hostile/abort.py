"""Aborts the process."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.abort()
