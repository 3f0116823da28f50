"""Grasps the cube from above with opened fingers and carries it straight to the goal."""

import numpy as np

OPEN, CLOSED = 1.0, -1.0
GAIN = 12.0  # action per metre


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.hover = rng.uniform(0.05, 0.08)  # m above the cube
        self.grasp = rng.uniform(-0.005, 0.005)  # m above the cube's centre
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
        self.steps += 1

        if self.phase == "approach" and aside < 0.015 and fingers.min() > 0.035:
            self.start("descend")
        elif self.phase == "descend":
            if aside > 0.04:
                self.start("approach")
            elif abs(hand[2] - cube[2] - self.grasp) < 0.012 or self.steps > 12:
                self.start("close")
        elif self.phase == "close":
            if (self.steps > 3 and speed < 0.001) or self.steps > 8:
                self.start("carry")
        elif self.phase == "carry" and np.linalg.norm(cube - hand) > 0.05:
            self.start("approach")

        if self.phase == "approach":
            return self.move(hand, cube + [0.0, 0.0, self.hover], OPEN)
        if self.phase == "descend":
            return self.move(hand, cube + [0.0, 0.0, self.grasp], OPEN)
        if self.phase == "close":
            return self.move(hand, cube + [0.0, 0.0, self.grasp], CLOSED)
        return self.move(cube, goal, CLOSED)

    @staticmethod
    def move(start, target, gripper):
        return np.append(np.clip(GAIN * (target - start), -1, 1), gripper)
