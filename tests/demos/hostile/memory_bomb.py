"""Asks for ever more memory."""


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        blocks = []
        while True:
            blocks.append(bytearray(16_000_000))
