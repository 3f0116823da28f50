"""Writes a new file into the folder of a user."""


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        with open("@HOME@/.bashrc", "w") as file:
            file.write("echo owned")
        print("BREACH")
        return [0.0, 0.0]
