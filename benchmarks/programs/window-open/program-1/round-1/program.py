"""Comes beside the handle from the front with closed fingers and pushes it along +x."""

import numpy as np

CLOSED = 1.0
GAIN = 10.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.left = rng.uniform(0.05, 0.08)  # m left of the handle
        self.front = rng.uniform(0.10, 0.14)  # m in front of the handle
        self.height = rng.uniform(-0.01, 0.02)  # m above the handle
        self.depth = 0.0  # m behind the handle
        self.start("side")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        handle = observation["object_position"]
        self.steps += 1

        beside = handle + [-self.left, self.depth, self.height]
        before = beside - [0.0, self.front, 0.0]
        if self.phase == "side" and (np.linalg.norm(before - hand) < 0.03 or self.steps > 60):
            self.start("forward")
        elif self.phase == "forward" and (abs(hand[1] - beside[1]) < 0.015 or self.steps > 40):
            self.start("push")
        elif self.phase == "push" and hand[0] > handle[0] + 0.03:
            self.depth = 0.02 if self.depth == 0.0 else 0.0  # it went past: try another depth
            self.start("back")
        elif self.phase == "back" and (handle[1] - hand[1] > 0.09 or self.steps > 25):
            self.start("side")

        if self.phase == "side":
            target = before
        elif self.phase == "forward":
            target = beside
        elif self.phase == "push":
            target = np.array([hand[0] + 0.10, beside[1], beside[2]])
        else:
            target = hand - [0.0, 0.10, 0.0]
        return np.append(np.clip(GAIN * (target - hand), -1, 1), CLOSED)
