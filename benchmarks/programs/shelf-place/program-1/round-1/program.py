"""Grasps the block from above, lifts it above the shelf's height and brings it in horizontally."""

import numpy as np

OPEN, CLOSED = -1.0, 1.0
GAIN = 10.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.hover = rng.uniform(0.07, 0.10)  # m above the block
        self.clearance = rng.uniform(0.01, 0.03)  # m above the goal, on the way in
        self.start("approach")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        block = observation["block_position"]
        goal = observation["goal_position"]
        closing = observation["previous_gripper_opening"][0] - observation["gripper_opening"][0]
        aside = np.linalg.norm((block - hand)[:2])
        self.steps += 1

        if self.phase == "approach" and aside < 0.015:
            self.start("descend")
        elif self.phase == "descend":
            if aside > 0.05:
                self.start("approach")
            elif hand[2] - block[2] < 0.025 or self.steps > 40:
                self.start("close")
        elif self.phase == "close" and ((self.steps > 8 and abs(closing) < 0.002) or self.steps > 25):
            self.start("lift")
        elif self.phase in ("lift", "enter") and np.linalg.norm(block - hand) > 0.09:
            self.start("approach")
        elif self.phase == "lift" and block[2] > goal[2] - 0.01:
            self.start("enter")

        if self.phase == "approach":
            return self.move(hand, block + [0.0, 0.0, self.hover], OPEN)
        if self.phase == "descend":
            return self.move(hand, block, OPEN)
        if self.phase == "close":
            return self.move(hand, block, CLOSED)
        if self.phase == "lift":
            return self.move(block, np.array([goal[0], block[1], goal[2] + self.clearance + 0.02]), CLOSED)
        return self.move(block, goal + [0.0, 0.0, self.clearance], CLOSED)

    @staticmethod
    def move(start, target, gripper):
        return np.append(np.clip(GAIN * (target - start), -1, 1), gripper)
