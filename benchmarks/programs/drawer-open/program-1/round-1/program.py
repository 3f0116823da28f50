"""Lowers closed fingers behind the bar of the handle and pulls the drawer towards the robot."""

import numpy as np

CLOSED = 1.0
GAIN = 10.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.rng = rng
        self.hover = rng.uniform(0.09, 0.12)  # m above the handle
        self.hook = np.array([rng.uniform(-0.01, 0.01), 0.02, rng.uniform(-0.01, 0.01)])  # m from the handle
        self.start("over")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        handle = observation["handle_position"]
        goal = observation["goal_position"]
        hook = handle + self.hook
        self.steps += 1

        if self.phase == "over" and np.linalg.norm((hook - hand)[:2]) < 0.015:
            self.start("down")
        elif self.phase == "down" and (hand[2] - hook[2] < 0.012 or self.steps > 35):
            self.start("pull")
        elif self.phase == "pull" and hand[1] < handle[1] - 0.03:
            self.hook[1] = self.rng.uniform(0.0, 0.04)  # slipped: try another depth
            self.start("up")
        elif self.phase == "up" and (hand[2] > handle[2] + 0.06 or self.steps > 25):
            self.start("over")

        if self.phase == "over":
            target = hook + [0.0, 0.0, self.hover]
        elif self.phase == "down":
            target = hook
        elif self.phase == "pull":
            return np.append(np.clip([GAIN * (hook[0] - hand[0]), -0.8, GAIN * (hook[2] - hand[2])], -1, 1), CLOSED)
        else:
            target = hand + [0.0, 0.0, 0.10]
        return np.append(np.clip(GAIN * (target - hand), -1, 1), CLOSED)
