"""Pushes the cube in two legs at right angles, the longer one first, and rises between them."""

import numpy as np

GAIN = 14.0  # action per metre
ENOUGH = 0.02  # m of an axis that need no leg


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.behind = rng.uniform(0.062, 0.072)  # m from the cube's centre
        self.clearance = rng.uniform(0.065, 0.08)  # m above the cube's centre
        self.axis = None
        self.start("over")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        cube = observation["object_position"]
        goal = observation["goal_position"]
        left = (goal - cube)[:2]
        self.steps += 1
        if self.axis is None:
            self.axis = int(np.argmax(np.abs(left)))
        if self.phase == "push" and abs(left[self.axis]) < ENOUGH:
            self.axis = 1 - self.axis  # the other leg
            self.start("over")

        way = np.zeros(2)
        way[self.axis] = 1.0 if left[self.axis] > 0 else -1.0
        offset = (cube - hand)[:2]
        ahead = offset @ way
        aside = offset - ahead * way
        post = cube[:2] - self.behind * way
        if self.phase == "over" and np.linalg.norm(post - hand[:2]) < 0.025:
            self.start("down")
        elif self.phase == "down" and (hand[2] - cube[2] < 0.012 or self.steps > 8):
            self.start("push")
        elif self.phase == "push" and (np.linalg.norm(aside) > 0.03 or ahead < 0.0):
            self.start("over")

        if self.phase == "over":
            low = hand[2] < cube[2] + 0.045
            place = hand[:2] - 0.2 * offset if low else post  # up and away first
            target = np.append(place, cube[2] + self.clearance)
        elif self.phase == "down":
            target = np.append(post, cube[2])
        else:
            speed = np.clip(7.0 * abs(left[self.axis]), 0.3, 0.9)
            return np.array([*np.clip(speed * way + GAIN * aside, -1, 1), np.clip(GAIN * (cube[2] - hand[2]), -1, 1), 0.0])
        return np.append(np.clip(GAIN * (target - hand), -1, 1), 0.0)
