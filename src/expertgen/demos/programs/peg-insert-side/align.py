"""Grasps the peg from above, aligns it with the hole at a distance, and pushes it in along -x."""

import numpy as np

OPEN, CLOSED = -1.0, 1.0
GAIN = 10.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.hover = rng.uniform(0.08, 0.11)  # m above the peg
        self.distance = rng.uniform(0.30, 0.34)  # m right of the goal, where the peg is aligned
        self.start("approach")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        peg = observation["peg_position"]
        goal = observation["goal_position"]
        closing = observation["previous_gripper_opening"][0] - observation["gripper_opening"][0]
        aside = np.linalg.norm((peg - hand)[:2])
        off_axis = np.linalg.norm((goal - peg)[1:])
        self.steps += 1

        if self.phase == "approach" and aside < 0.015:
            self.start("descend")
        elif self.phase == "descend":
            if aside > 0.05:
                self.start("approach")
            elif hand[2] - peg[2] < 0.015 or self.steps > 40:
                self.start("close")
        elif self.phase == "close" and ((self.steps > 8 and abs(closing) < 0.002) or self.steps > 25):
            self.start("align")
        elif self.phase in ("align", "insert") and np.linalg.norm(peg - hand) > 0.09:
            self.start("approach")
        elif self.phase == "align" and off_axis < 0.012 and abs(peg[0] - goal[0] - self.distance) < 0.06:
            self.start("insert")
        elif self.phase == "insert" and off_axis > 0.04:
            self.start("align")

        if self.phase == "approach":
            return self.move(hand, peg + [0.0, 0.0, self.hover], OPEN)
        if self.phase == "descend":
            return self.move(hand, peg, OPEN)
        if self.phase == "close":
            return self.move(hand, peg, CLOSED)
        if self.phase == "align":
            return self.move(peg, goal + [self.distance, 0.0, 0.0], CLOSED)
        return self.move(peg, np.array([peg[0] - 0.06, goal[1], goal[2]]), CLOSED)

    @staticmethod
    def move(start, target, gripper):
        return np.append(np.clip(GAIN * (target - start), -1, 1), gripper)
