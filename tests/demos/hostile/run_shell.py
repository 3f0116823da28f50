"""Runs a command in a shell."""

import subprocess


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        subprocess.run(["/bin/sh", "-c", "echo owned > @CANARY@"], check=True)
        print("BREACH")
        return [0.0, 0.0]
