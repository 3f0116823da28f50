"""Holds the peg behind its grasping point, drags it low in front of the hole, raises it there and pushes it in."""

import numpy as np

OPEN, CLOSED = -1.0, 1.0
GAIN = 10.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.hover = rng.uniform(0.07, 0.12)  # m above the peg
        self.grip = np.array([rng.uniform(0.005, 0.02), 0.0, 0.0])  # m, where the peg is held
        self.distance = rng.uniform(0.32, 0.36)  # m right of the goal, where the peg is raised
        self.drag = rng.uniform(0.01, 0.03)  # m above the table
        self.start("approach")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        peg = observation["peg_position"]
        goal = observation["goal_position"]
        closing = observation["previous_gripper_opening"][0] - observation["gripper_opening"][0]
        if self.phase == "approach" and self.steps == 0:
            self.table = peg[2]
        self.steps += 1

        aside = np.linalg.norm((peg + self.grip - hand)[:2])
        off_y, off_z = abs(goal[1] - peg[1]), abs(goal[2] - peg[2])
        place = goal + [self.distance, 0.0, 0.0]
        if self.phase == "approach" and aside < 0.015:
            self.start("descend")
        elif self.phase == "descend":
            if aside > 0.05:
                self.start("approach")
            elif hand[2] - peg[2] < 0.015 or self.steps > 40:
                self.start("close")
        elif self.phase == "close" and ((self.steps > 8 and abs(closing) < 0.002) or self.steps > 25):
            self.start("drag")
        elif self.phase in ("drag", "raise", "insert") and np.linalg.norm(peg - hand) > 0.10:
            self.start("approach")
        elif self.phase == "drag" and off_y < 0.015 and abs(place[0] - peg[0]) < 0.05:
            self.start("raise")
        elif self.phase == "raise" and off_z < 0.012 and off_y < 0.012:
            self.start("insert")
        elif self.phase == "insert" and max(off_y, off_z) > 0.035:
            self.start("raise")

        if self.phase == "approach":
            return self.move(hand, peg + self.grip + [0.0, 0.0, self.hover], OPEN)
        if self.phase == "descend":
            return self.move(hand, peg + self.grip, OPEN)
        if self.phase == "close":
            return self.move(hand, hand, CLOSED)
        if self.phase == "drag":
            return self.move(peg, np.append(place[:2], self.table + self.drag), CLOSED)
        if self.phase == "raise":
            return self.move(peg, place, CLOSED)
        return self.move(peg, np.array([peg[0] - 0.08, goal[1], goal[2]]), CLOSED)

    @staticmethod
    def move(start, target, gripper):
        return np.append(np.clip(GAIN * (target - start), -1, 1), gripper)
