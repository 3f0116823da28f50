"""Sends a datagram, as a name server would get it."""

import socket


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"secret", ("127.0.0.1", 53))
        print("BREACH")
        return [0.0, 0.0]
