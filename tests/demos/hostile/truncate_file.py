"""Cuts a file of a user to nothing, without opening it."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.truncate("@CANARY@", 0)
        print("BREACH")
        return [0.0, 0.0]
