"""Leaves its scratch folder upwards, by names and by a descriptor of a folder."""

import os


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        place = os.open(".", os.O_RDONLY)
        for _ in range(30):
            place = os.open("..", os.O_RDONLY, dir_fd=place)
        file = os.open("@SECRET@".lstrip("/"), os.O_RDONLY, dir_fd=place)
        print("BREACH", os.read(file, 100))
        return [0.0, 0.0]
