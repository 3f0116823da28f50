"""Walks through all folders for files that look like keys."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        for folder, _, names in os.walk("/"):
            for name in names:
                if name == "secret.txt":
                    with open(os.path.join(folder, name)) as file:
                        print("BREACH", file.read())
        return [0.0, 0.0]
