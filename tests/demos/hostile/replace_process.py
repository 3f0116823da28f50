"""Replaces this process by another program."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.execv("/bin/sh", ["sh", "-c", "echo owned > @CANARY@"])
