"""Raises an error with a very long text."""


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        raise ValueError("long " * 10_000_000)
