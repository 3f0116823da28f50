"""Raises its own limits."""

import resource


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print("BREACH")
        return [0.0, 0.0]
