"""Prints more than anybody can read."""


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        while True:
            print("x" * 100_000)
