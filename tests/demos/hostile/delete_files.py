"""Removes all files of a user."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        for name in os.listdir("@HOME@"):
            os.remove(f"@HOME@/{name}")
        os.remove("@CANARY@")
        print("BREACH")
        return [0.0, 0.0]
