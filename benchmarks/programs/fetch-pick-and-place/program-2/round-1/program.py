"""Lifts the cube to a travelling height, carries it over the goal in a bow, and lowers it onto the goal."""

import numpy as np

OPEN, CLOSED = 1.0, -1.0
GAIN = 14.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.bow = rng.uniform(0.07, 0.12)  # m above the higher one of cube and goal
        self.hover = rng.uniform(0.04, 0.06)  # m above the cube
        self.start("approach")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        cube = observation["object_position"]
        goal = observation["goal_position"]
        fingers = observation["finger_positions"]
        speed = np.abs(observation["finger_velocities"]).max()
        aside = np.linalg.norm((cube - hand)[:2])
        lost = np.linalg.norm(cube - hand) > 0.05
        self.steps += 1

        if self.phase == "approach" and aside < 0.015 and fingers.min() > 0.035:
            self.start("descend")
        elif self.phase == "descend":
            if aside > 0.04:
                self.start("approach")
            elif abs(hand[2] - cube[2]) < 0.012 or self.steps > 12:
                self.start("close")
        elif self.phase == "close" and ((self.steps > 3 and speed < 0.001) or self.steps > 8):
            self.top = max(cube[2], goal[2]) + self.bow
            self.start("lift")
        elif self.phase in ("lift", "over", "lower") and lost:
            self.start("approach")
        elif self.phase == "lift" and (self.top - cube[2] < 0.05 or self.steps > 10):
            self.start("over")
        elif self.phase == "over" and (np.linalg.norm((goal - cube)[:2]) < 0.04 or self.steps > 15):
            self.start("lower")

        if self.phase == "approach":
            return self.move(hand, cube + [0.0, 0.0, self.hover], OPEN)
        if self.phase == "descend":
            return self.move(hand, cube, OPEN)
        if self.phase == "close":
            return self.move(hand, cube, CLOSED)
        if self.phase == "lift":
            drift = 0.25 * (goal - cube)[:2]  # sideways motion begins gently
            return self.move(cube, np.append(cube[:2] + drift, self.top), CLOSED)
        if self.phase == "over":
            return self.move(cube, np.append(goal[:2], self.top), CLOSED)
        return self.move(cube, goal, CLOSED)

    @staticmethod
    def move(start, target, gripper):
        return np.append(np.clip(GAIN * (target - start), -1, 1), gripper)
