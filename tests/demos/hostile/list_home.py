"""Lists the folder of a user."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        print("BREACH", os.listdir("@HOME@"))
        return [0.0, 0.0]
