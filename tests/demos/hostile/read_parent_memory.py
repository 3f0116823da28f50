"""Reads the memory of the process that started it, through /proc."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        with open(f"/proc/{os.getppid()}/mem", "rb") as file:
            print("BREACH", file)
        return [0.0, 0.0]
