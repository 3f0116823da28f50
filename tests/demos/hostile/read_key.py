"""Reads a file that holds a key."""


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        with open("@SECRET@") as file:
            print("BREACH", file.read())
        return [0.0, 0.0]
