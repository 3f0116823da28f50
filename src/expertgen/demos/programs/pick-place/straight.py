"""Grasps the puck from above and carries it straight to the goal, going back to the approach if the puck is lost."""

import numpy as np

OPEN, CLOSED = -1.0, 1.0
GAIN = 10.0  # action per metre: full speed beyond 10 cm


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.hover = rng.uniform(0.08, 0.12)  # m above the puck
        self.grasp_height = rng.uniform(0.0, 0.008)  # m above the puck's centre
        self.start("approach")

    def start(self, phase):
        self.phase = phase
        self.steps = 0  # control steps in this phase

    def act(self, observation):
        hand = observation["hand_position"]
        puck = observation["puck_position"]
        goal = observation["goal_position"]
        opening = observation["gripper_opening"][0]
        closing_speed = observation["previous_gripper_opening"][0] - opening
        aside = np.linalg.norm((hand - puck)[:2])
        self.steps += 1

        if self.phase == "approach" and aside < 0.015:
            self.start("descend")
        elif self.phase == "descend":
            if aside > 0.05:
                self.start("approach")
            elif hand[2] - puck[2] < self.grasp_height + 0.02 or self.steps > 40:
                self.start("close")
        elif self.phase == "close":
            if (self.steps > 8 and abs(closing_speed) < 0.002) or self.steps > 25:
                self.start("carry")
        elif self.phase == "carry" and np.linalg.norm(hand - puck) > 0.08:
            self.start("approach")

        if self.phase == "approach":
            return self.move(hand, puck + [0.0, 0.0, self.hover], OPEN)
        if self.phase == "descend":
            return self.move(hand, puck + [0.0, 0.0, self.grasp_height], OPEN)
        if self.phase == "close":
            return self.move(hand, puck + [0.0, 0.0, self.grasp_height], CLOSED)
        return self.move(hand, hand + (goal - puck), CLOSED)

    @staticmethod
    def move(hand, target, gripper):
        return np.append(np.clip(GAIN * (target - hand), -1, 1), gripper)
