"""Plants code in an installed package, for whoever imports it next."""

import numpy


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        with open(numpy.__file__, "a") as file:
            file.write("\n")
        print("BREACH")
        return [0.0, 0.0]
