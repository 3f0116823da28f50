"""Starts threads that never end."""

import threading
import time


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        for _ in range(100):
            threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        print("BREACH")
        return [0.0, 0.0]
