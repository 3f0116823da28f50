"""Makes a hard link to a key in its scratch folder."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.link("@SECRET@", "/tmp/link")
        print("BREACH")
        return [0.0, 0.0]
