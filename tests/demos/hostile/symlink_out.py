"""Makes a symbolic link to a key in its scratch folder, and reads the link."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.symlink("@SECRET@", "link")
        with open("link") as file:
            print("BREACH", file.read())
        return [0.0, 0.0]
