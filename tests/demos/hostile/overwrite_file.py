"""Overwrites a file of a user."""


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        with open("@CANARY@", "w") as file:
            file.write("owned")
        print("BREACH")
        return [0.0, 0.0]
