"""Grasps the puck from above and drags it low over the table to the goal."""

import numpy as np

OPEN, CLOSED = -1.0, 1.0
GAIN = 10.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.hover = rng.uniform(0.07, 0.11)  # m above the puck
        self.drag_height = rng.uniform(0.005, 0.02)  # m that the hand is raised for the way
        self.start("approach")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        puck = observation["object_position"]
        goal = observation["goal_position"]
        closing = observation["previous_gripper_opening"][0] - observation["gripper_opening"][0]
        aside = np.linalg.norm((puck - hand)[:2])
        self.steps += 1

        if self.phase == "approach" and aside < 0.015:
            self.start("descend")
        elif self.phase == "descend":
            if aside > 0.05:
                self.start("approach")
            elif hand[2] - puck[2] < 0.025 or self.steps > 40:
                self.start("close")
        elif self.phase == "close" and ((self.steps > 8 and abs(closing) < 0.002) or self.steps > 25):
            self.height = hand[2] + self.drag_height
            self.start("drag")
        elif self.phase == "drag" and np.linalg.norm(puck - hand) > 0.08:
            self.start("approach")

        if self.phase == "approach":
            return self.move(hand, puck + [0.0, 0.0, self.hover], OPEN)
        if self.phase == "descend":
            return self.move(hand, puck, OPEN)
        if self.phase == "close":
            return self.move(hand, puck, CLOSED)
        target = np.append(hand[:2] + (goal - puck)[:2], self.height)
        return self.move(hand, target, CLOSED)

    @staticmethod
    def move(hand, target, gripper):
        return np.append(np.clip(GAIN * (target - hand), -1, 1), gripper)
