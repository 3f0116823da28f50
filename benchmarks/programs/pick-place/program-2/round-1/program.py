"""Slides in low from the front, grasps the puck, lifts it to the goal's height, and then moves level to the goal."""

import numpy as np

OPEN, CLOSED = -1.0, 1.0
GAIN = 10.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.distance = rng.uniform(0.07, 0.10)  # m in front of the puck, where the hand comes down
        self.grasp_height = rng.uniform(0.0, 0.01)  # m above the puck's centre
        self.from_above = False
        self.start("approach")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        puck = observation["puck_position"]
        goal = observation["goal_position"]
        closing = observation["previous_gripper_opening"][0] - observation["gripper_opening"][0]
        if self.steps == 0 and self.phase == "approach":
            self.puck_start = puck.copy()
        self.steps += 1

        low = puck[2] + self.grasp_height
        front = np.zeros(3) if self.from_above else np.array([0.0, -self.distance, 0.0])
        aside = np.linalg.norm((puck + front - hand)[:2])
        if self.phase == "approach" and aside < 0.02:
            self.start("descend")
        elif self.phase == "descend" and (hand[2] - low < 0.03 or self.steps > 45):
            self.start("slide")
        elif self.phase == "slide":
            if np.linalg.norm((puck - hand)[:2]) < 0.012:
                self.start("close")
            elif np.linalg.norm(puck - self.puck_start) > 0.03 or self.steps > 60:
                self.from_above = True  # the fingers push it
                self.start("rise")
        elif self.phase == "rise" and (hand[2] > puck[2] + 0.09 or self.steps > 30):
            self.start("approach")
        elif self.phase == "close" and ((self.steps > 8 and abs(closing) < 0.002) or self.steps > 25):
            self.start("lift")
        elif self.phase in ("lift", "level") and np.linalg.norm(puck - hand) > 0.08:
            self.from_above = True
            self.start("rise")
        elif self.phase == "lift" and goal[2] - puck[2] < 0.02:
            self.start("level")

        if self.phase == "approach":
            return self.move(hand, puck + front + [0.0, 0.0, 0.10], OPEN)
        if self.phase == "descend":
            return self.move(hand, np.append((puck + front)[:2], low), OPEN)
        if self.phase == "slide":
            return self.move(hand, np.append(puck[:2], low), OPEN)
        if self.phase == "rise":
            return self.move(hand, hand + [0.0, 0.0, 0.10], OPEN)
        if self.phase == "close":
            return self.move(hand, np.append(puck[:2], low), CLOSED)
        if self.phase == "lift":
            return self.move(hand, hand + [0.0, 0.0, goal[2] - puck[2] + 0.03], CLOSED)
        return self.move(hand, hand + (goal - puck), CLOSED)

    @staticmethod
    def move(hand, target, gripper):
        return np.append(np.clip(GAIN * (target - hand), -1, 1), gripper)
