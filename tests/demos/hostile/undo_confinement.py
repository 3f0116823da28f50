"""Calls what confined it again, with everything allowed."""

import sys


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        confine = sys.modules["expertgen.demos.sandbox.landlock"]
        confine.restrict_files(["/"], ["/"])
        with open("@SECRET@") as file:
            print("BREACH", file.read())
        return [0.0, 0.0]
