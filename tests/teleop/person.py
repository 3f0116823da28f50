"""A person who can do one task: pulls the drawer open with the keys, by what the page tells."""

from __future__ import annotations

import time

import numpy as np

from tests.teleop.browser import PATIENCE, Page

READ = """(() => {
  const row = (name) => document.querySelector(`tr[data-field="${name}"] td:last-child`)?.textContent ?? "";
  return [document.body.className, state?.steps ?? 0, row("hand_position"), row("handle_position")];
})()"""

# In the view from the right: right is +y, away is -x.
KEYS = {0: ("ArrowDown", "ArrowUp"), 1: ("ArrowRight", "ArrowLeft"), 2: ("KeyE", "KeyQ")}


class Person:
    """Holds keys down as long as the hand is not where it should be."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._down: set[str] = set()
        page.evaluate("document.getElementById('observation').open = true")

    def open_drawer(self, steps: float = np.inf) -> str:
        """Steers until the episode ends, or has so many control steps; returns the classes of the page's body."""
        until = time.monotonic() + PATIENCE
        while True:
            classes, done, hand, handle = self._page.evaluate(READ)
            if "ended" in classes or done >= steps:
                self._hold(set())
                return classes
            assert time.monotonic() < until, f"the drawer is still closed: {classes}, hand {hand}, handle {handle}"
            if hand and handle:
                self._hold(_towards(np.fromstring(hand, sep=" "), np.fromstring(handle, sep=" ")))

    def _hold(self, keys: set[str]) -> None:
        for key in self._down - keys:
            self._page.key(key, False)
        for key in keys - self._down:
            self._page.key(key, True)
        self._down = keys


def _towards(hand: np.ndarray, handle: np.ndarray) -> set[str]:
    inside = handle + np.array([0, 0, -0.02])  # the fingers reach into the handle from above
    off = np.abs(hand - inside)
    if off[:2].max() > 0.02 and hand[2] < inside[2] + 0.1:
        way = np.array([0, 0, 0.15])
    elif off[:2].max() > 0.02:
        way = (inside - hand) * [1, 1, 0]
    elif off[2] > 0.03:
        way = (inside - hand) * [0, 0, 1]
    else:
        way = np.array([0, -0.2, 0])
    return {KEYS[axis][0 if way[axis] > 0 else 1] for axis in range(3) if abs(way[axis]) > 0.01}
