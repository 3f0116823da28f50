"""Tries many things and hides that they were refused."""

import contextlib
import os
import socket
from pathlib import Path

ATTEMPTS = [
    lambda: Path("@SECRET@").read_text(),
    lambda: Path("@CANARY@").write_text("owned"),
    lambda: socket.create_connection(("127.0.0.1", int("@PORT@"))),
    lambda: os.kill(os.getppid(), 15),
    lambda: os.fork(),
]


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        for attempt in ATTEMPTS:
            with contextlib.suppress(Exception):
                attempt()
                print("BREACH")
        return [0.0, 0.0]
