"""Hooks closed fingers behind the handle from above and leads it along the circle around the hinge."""

import numpy as np

CLOSED = 1.0
GAIN = 10.0  # action per metre


class Program:
    def reset(self, seed):
        self.rng = np.random.default_rng(seed)
        self.hinge = None
        self.hover = self.rng.uniform(0.10, 0.13)  # m above the handle
        self.behind = self.rng.uniform(0.02, 0.03)  # m behind the handle, against its motion
        self.outside = self.rng.uniform(0.0, 0.02)  # m farther from the hinge than the handle
        self.start("over")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        handle = observation["object_position"]
        goal = observation["goal_position"]
        if self.hinge is None:
            dx, dy = (goal - handle)[:2]
            self.hinge = handle[:2] - [(dx**2 + dy**2) / (2 * max(abs(dx), 0.05)), 0.0]
        self.steps += 1

        radial = handle[:2] - self.hinge
        radial = radial / max(np.linalg.norm(radial), 1e-6)
        tangent = np.array([radial[1], -radial[0]])  # the way the handle goes when the door opens
        hook = np.append(handle[:2] - self.behind * tangent + self.outside * radial, handle[2])
        passed = (hand[:2] - handle[:2]) @ tangent  # positive: the hand is ahead of the handle

        if self.phase == "over" and (np.linalg.norm((hook - hand)[:2]) < 0.02 or self.steps > 70):
            self.start("down")
        elif self.phase == "down" and (hand[2] - hook[2] < 0.02 or self.steps > 35):
            self.start("pull")
        elif self.phase == "pull" and passed > 0.04:
            self.behind = self.rng.uniform(0.01, 0.04)
            self.outside = self.rng.uniform(-0.01, 0.03)
            self.start("up")
        elif self.phase == "up" and (hand[2] > handle[2] + 0.08 or self.steps > 25):
            self.start("over")

        if self.phase == "over":
            target = hook + [0.0, 0.0, self.hover]
        elif self.phase == "down":
            target = hook
        elif self.phase == "pull":
            target = hook + np.append(0.12 * tangent, 0.0)
        else:
            target = hand + [0.0, 0.0, 0.10]
        return np.append(np.clip(GAIN * (target - hand), -1, 1), CLOSED)
