"""Leaves a block of shared memory behind."""


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        with open("/dev/shm/hostile", "wb") as file:
            file.write(bytes(1000))
        print("BREACH")
        return [0.0, 0.0]
