"""Matches a regular expression that takes longer than the universe has existed."""

import re


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        re.match("(a+)+$", "a" * 60 + "b")
        return [0.0, 0.0]
