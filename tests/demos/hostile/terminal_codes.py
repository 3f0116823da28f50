"""Prints and raises what steers a terminal."""


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        print("\x1b]0;owned\x07\x1b[2J")
        raise ValueError("\x1b[31mowned\x1b]8;;http://owned\x07 [/red] [bold]")
