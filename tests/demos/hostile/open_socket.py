"""Opens a connection to a server."""

import socket


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        socket.create_connection(("127.0.0.1", int("@PORT@"))).sendall(b"secret")
        print("BREACH")
        return [0.0, 0.0]
