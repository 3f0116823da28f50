"""Fetches a page."""

import urllib.request


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        print("BREACH", urllib.request.urlopen("http://127.0.0.1:@PORT@/", timeout=1).read())
        return [0.0, 0.0]
