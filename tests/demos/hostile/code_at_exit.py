"""Leaves code behind that runs when the process ends."""

import atexit


def leave():
    with open("@CANARY@", "w") as file:
        file.write("owned")
    print("BREACH")


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        atexit.register(leave)
        raise SystemExit(0)
