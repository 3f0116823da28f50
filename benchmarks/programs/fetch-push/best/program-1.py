"""Goes behind the cube from above and pushes it along the line to the goal."""

import numpy as np

GAIN = 12.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.behind = rng.uniform(0.065, 0.08)  # m from the cube's centre
        self.clearance = rng.uniform(0.07, 0.09)  # m above the cube's centre
        self.start("over")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        cube = observation["object_position"]
        goal = observation["goal_position"]
        distance = np.linalg.norm((goal - cube)[:2])
        way = (goal - cube)[:2] / max(distance, 1e-6)
        offset = (cube - hand)[:2]
        ahead = offset @ way
        aside = offset - ahead * way
        self.steps += 1

        post = cube[:2] - self.behind * way
        if self.phase == "over" and np.linalg.norm(post - hand[:2]) < 0.025:
            self.start("down")
        elif self.phase == "down" and (hand[2] - cube[2] < 0.012 or self.steps > 8):
            self.start("push")
        elif self.phase == "push" and (np.linalg.norm(aside) > 0.035 or ahead < 0.0):
            self.start("over")

        if self.phase == "over":
            low = hand[2] < cube[2] + 0.04
            place = hand[:2] + 0.3 * (post - hand[:2]) if low else post  # up first
            target = np.append(place, cube[2] + self.clearance)
        elif self.phase == "down":
            target = np.append(post, cube[2])
        else:
            speed = np.clip(6.0 * distance, 0.25, 0.8)
            sideways = GAIN * aside
            return np.array([*np.clip(speed * way + sideways, -1, 1), np.clip(GAIN * (cube[2] - hand[2]), -1, 1), 0.0])
        return np.append(np.clip(GAIN * (target - hand), -1, 1), 0.0)
