"""Rises, moves over the button, and presses it straight down with closed fingers."""

import numpy as np

CLOSED = 1.0
GAIN = 10.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.hover = rng.uniform(0.07, 0.11)  # m above the button
        self.offset = rng.uniform(-0.01, 0.01, 2)  # m from the middle of the button
        self.press = False

    def act(self, observation):
        hand = observation["hand_position"]
        button = observation["object_position"]
        aside = np.linalg.norm(button[:2] + self.offset - hand[:2])
        if self.press and aside > 0.05:
            self.press = False
        elif not self.press and aside < 0.02 and hand[2] > button[2]:
            self.press = True

        place = button[:2] + self.offset
        if self.press:
            target = np.append(place, hand[2] - 0.10)
        elif hand[2] < button[2] + 0.04 and aside > 0.08:  # do not run into it from the side
            target = np.append(hand[:2] + 0.3 * (place - hand[:2]), button[2] + self.hover)
        else:
            target = np.append(place, button[2] + self.hover)
        return np.append(np.clip(GAIN * (target - hand), -1, 1), CLOSED)
