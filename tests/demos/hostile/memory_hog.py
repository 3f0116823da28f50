"""Takes all memory that it gets, and keeps it."""

KEPT = []


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        while True:
            try:
                KEPT.append(bytearray(1_000_000))
            except MemoryError:
                KEPT.append([])
                raise
