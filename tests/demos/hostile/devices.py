"""Opens the memory and the disk of the machine."""

import contextlib


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        for name in ("/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda"):
            with contextlib.suppress(FileNotFoundError), open(name, "rb") as file:
                print("BREACH", file.read(10))
        raise PermissionError(1, "no device can be opened")
