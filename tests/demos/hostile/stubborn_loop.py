"""Never returns, and catches whatever interrupts it."""


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        while True:
            try:
                while True:
                    pass
            except BaseException:
                continue
