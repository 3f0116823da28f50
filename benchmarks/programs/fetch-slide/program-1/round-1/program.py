"""Goes around the puck, then hits it at full speed along the line to the goal."""

import numpy as np

GAIN = 12.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.run_up = rng.uniform(0.08, 0.10)  # m behind the puck, where the hand starts its run
        self.start("place")

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
        ahead = offset @ way
        aside = offset - ahead * way
        self.steps += 1

        post = puck[:2] - self.run_up * way
        if self.phase == "place" and (np.linalg.norm(post - hand[:2]) < 0.015 or self.steps > 18):
            self.start("lower")
        elif self.phase == "lower" and (abs(hand[2] - puck[2]) < 0.01 or self.steps > 6):
            self.start("hit")

        if self.phase == "place":  # above the puck, so that it is not touched on the way
            target = np.append(post, puck[2] + 0.06)
        elif self.phase == "lower":
            target = np.append(post, puck[2])
        elif ahead > -0.02 and hand[0] < 1.6:
            sideways = 1.5 * GAIN * aside
            return np.array([*np.clip(way + sideways, -1, 1), np.clip(GAIN * (puck[2] - hand[2]), -1, 1), 0.0])
        else:
            target = hand
        return np.append(np.clip(GAIN * (target - hand), -1, 1), 0.0)
