"""Grasps the handle from above, carries the ring high over the rod and lowers it, with the centre 13 cm left of the handle."""

import numpy as np

OPEN, CLOSED = -1.0, 1.0
GAIN = 10.0  # action per metre
TO_HANDLE = np.array([0.13, 0.0, 0.0])  # m, from the ring's centre to its handle


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.hover = rng.uniform(0.08, 0.11)  # m above the handle
        self.clearance = rng.uniform(0.07, 0.09)  # m above the goal, when the ring is carried
        self.start("approach")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        handle = observation["ring_position"]
        goal = observation["goal_position"]
        closing = observation["previous_gripper_opening"][0] - observation["gripper_opening"][0]
        aside = np.linalg.norm((handle - hand)[:2])
        over = goal + TO_HANDLE + [0.0, 0.0, self.clearance]
        off = np.linalg.norm((over - handle)[:2])
        self.steps += 1

        if self.phase == "approach" and aside < 0.015:
            self.start("descend")
        elif self.phase == "descend":
            if aside > 0.05:
                self.start("approach")
            elif hand[2] - handle[2] < 0.015 or self.steps > 40:
                self.start("close")
        elif self.phase == "close" and ((self.steps > 8 and abs(closing) < 0.002) or self.steps > 25):
            self.start("lift")
        elif self.phase in ("lift", "carry", "lower") and np.linalg.norm(handle - hand) > 0.09:
            self.start("approach")
        elif self.phase == "lift" and (over[2] - handle[2] < 0.03 or self.steps > 45):
            self.start("carry")
        elif self.phase == "carry" and off < 0.012:
            self.start("lower")
        elif self.phase == "lower" and off > 0.04 and handle[2] > goal[2] + 0.03:
            self.start("carry")

        if self.phase == "approach":
            return self.move(hand, handle + [0.0, 0.0, self.hover], OPEN)
        if self.phase == "descend":
            return self.move(hand, handle, OPEN)
        if self.phase == "close":
            return self.move(hand, handle, CLOSED)
        if self.phase == "lift":
            return self.move(handle, np.append(handle[:2], over[2] + 0.02), CLOSED)
        if self.phase == "carry":
            return self.move(handle, over, CLOSED)
        return self.move(handle, np.append(over[:2], handle[2] - 0.06), CLOSED)

    @staticmethod
    def move(start, target, gripper):
        return np.append(np.clip(GAIN * (target - start), -1, 1), gripper)
