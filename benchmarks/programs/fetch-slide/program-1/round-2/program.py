"""Rises, goes behind the puck without touching it, and hits it with a long run-up along the line to the goal."""

import numpy as np

GAIN = 12.0  # action per metre
CLEAR = 0.055  # m above the puck, so that nothing touches


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.run_up = rng.uniform(0.11, 0.13)  # m behind the puck, where the hand starts its run
        self.start("rise")

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
        if self.phase == "rise" and (hand[2] > puck[2] + CLEAR - 0.01 or self.steps > 6):
            self.start("place")
        elif self.phase == "place" and (np.linalg.norm(post - hand[:2]) < 0.02 or self.steps > 16):
            self.start("lower")
        elif self.phase == "lower" and (abs(hand[2] - puck[2]) < 0.012 or self.steps > 6):
            self.start("hit")

        if self.phase == "rise":
            return np.array([0.0, 0.0, 1.0, 0.0])
        if self.phase == "place":
            target = np.append(post, puck[2] + CLEAR + 0.01)
        elif self.phase == "lower":
            target = np.append(post, puck[2])
        else:
            sideways = 1.5 * GAIN * aside if ahead > 0.0 else 0.0 * aside
            forward = way if hand[0] < 1.6 and ahead > -0.02 else 0.0 * way
            return np.array([*np.clip(forward + sideways, -1, 1), np.clip(GAIN * (puck[2] - hand[2]), -1, 1), 0.0])
        return np.append(np.clip(GAIN * (target - hand), -1, 1), 0.0)
