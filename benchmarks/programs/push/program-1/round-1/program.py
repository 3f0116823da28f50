"""Puts closed fingers behind the puck and pushes it along the line to the goal."""

import numpy as np

CLOSED = 1.0
GAIN = 10.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.behind = rng.uniform(0.055, 0.075)  # m from the puck's centre, where the hand comes down
        self.speed = rng.uniform(0.6, 0.9)
        self.start("over")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        puck = observation["object_position"]
        goal = observation["goal_position"]
        way = (goal - puck)[:2]
        way = way / max(np.linalg.norm(way), 1e-6)
        offset = (puck - hand)[:2]
        ahead = offset @ way  # how far the puck is in front of the hand
        aside = offset - ahead * way
        self.steps += 1

        post = np.append(puck[:2] - self.behind * way, puck[2])
        if self.phase == "over" and np.linalg.norm((post - hand)[:2]) < 0.02:
            self.start("down")
        elif self.phase == "down" and (hand[2] - puck[2] < 0.02 or self.steps > 30):
            self.start("push")
        elif self.phase == "push" and (np.linalg.norm(aside) > 0.03 or ahead < 0.0):
            self.start("up")
        elif self.phase == "up" and (hand[2] - puck[2] > 0.08 or self.steps > 30):
            self.start("over")

        if self.phase == "over":
            target = post + [0.0, 0.0, 0.10]
        elif self.phase == "down":
            target = post
        elif self.phase == "push":
            velocity = self.speed * way + 15.0 * aside  # stay on the line
            return np.array([*np.clip(velocity, -1, 1), np.clip(GAIN * (puck[2] - hand[2]), -1, 1), CLOSED])
        else:
            target = hand + [0.0, 0.0, 0.10]
        return np.append(np.clip(GAIN * (target - hand), -1, 1), CLOSED)
