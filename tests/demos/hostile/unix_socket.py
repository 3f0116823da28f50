"""Talks to a service of the machine through a Unix socket."""

import socket


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect("\0service")
        print("BREACH")
        return [0.0, 0.0]
