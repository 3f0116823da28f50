"""Renames a file of a user."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.rename("@CANARY@", "@CANARY@.locked")
        print("BREACH")
        return [0.0, 0.0]
