"""Makes a file of a user readable and writable for everybody."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        os.chmod("@CANARY@", 0o777)
        print("BREACH")
        return [0.0, 0.0]
