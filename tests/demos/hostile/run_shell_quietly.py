"""Runs a command through the C library, which tells nobody that it was refused."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        if os.system("echo owned > @CANARY@") == 0:
            print("BREACH")
        return [0.0, 0.0]
