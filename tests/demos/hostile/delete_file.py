"""Removes one file of a user, by its name."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.remove("@CANARY@")
        print("BREACH")
        return [0.0, 0.0]
