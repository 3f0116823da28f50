"""Grasps the hammer's handle from above, holds the head in front of the nail and drives along +y."""

import numpy as np

OPEN, CLOSED = -1.0, 1.0
GAIN = 10.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.hover = rng.uniform(0.08, 0.11)  # m above the handle
        self.head = rng.uniform(0.10, 0.16)  # m from the handle to the head along x
        self.away = rng.uniform(0.12, 0.15)  # m in front of the nail
        self.start("approach")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        handle = observation["hammer_position"]
        nail = observation["nail_position"]
        closing = observation["previous_gripper_opening"][0] - observation["gripper_opening"][0]
        aside = np.linalg.norm((handle - hand)[:2])
        before = nail - [self.head, self.away, 0.0]
        off = np.abs(before - handle)
        self.steps += 1

        if self.phase == "approach" and aside < 0.015:
            self.start("descend")
        elif self.phase == "descend":
            if aside > 0.05:
                self.start("approach")
            elif hand[2] - handle[2] < 0.03 or self.steps > 40:
                self.start("close")
        elif self.phase == "close" and ((self.steps > 8 and abs(closing) < 0.002) or self.steps > 25):
            self.start("align")
        elif self.phase in ("align", "drive") and np.linalg.norm(handle - hand) > 0.10:
            self.start("approach")
        elif self.phase == "align" and off[0] < 0.02 and off[2] < 0.015:
            self.start("drive")
        elif self.phase == "drive" and (off[2] > 0.05 or handle[1] > nail[1] + 0.05):
            self.start("align")

        if self.phase == "approach":
            return self.move(hand, handle + [0.0, 0.0, self.hover], OPEN)
        if self.phase == "descend":
            return self.move(hand, handle, OPEN)
        if self.phase == "close":
            return self.move(hand, handle, CLOSED)
        if self.phase == "align":
            return self.move(handle, before, CLOSED)
        return self.move(handle, np.array([before[0], handle[1] + 0.10, nail[2]]), CLOSED)

    @staticmethod
    def move(start, target, gripper):
        return np.append(np.clip(GAIN * (target - start), -1, 1), gripper)
