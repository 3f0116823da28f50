"""Fills the disk through its scratch folder."""


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        for i in range(100):
            with open(f"/tmp/{i}", "wb") as file:
                file.write(bytes(4_000_000))
        print("BREACH")
        return [0.0, 0.0]
