"""Rises, lines up behind the puck, hits it along the line to the goal, and leans against its sideways velocity."""

import numpy as np

GAIN = 12.0  # action per metre
CLEAR = 0.055  # m above the puck, so that nothing touches
LEAN = 8.0  # control steps per m: how much the push turns against sideways velocity


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.run_up = rng.uniform(0.12, 0.14)  # m behind the puck, where the hand starts its run
        self.start("rise")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        hand = observation["hand_position"]
        puck = observation["object_position"]
        goal = observation["goal_position"]
        velocity = (observation["object_velocity_from_hand"] + observation["hand_velocity"])[:2]
        way = (goal - puck)[:2]
        way = way / max(np.linalg.norm(way), 1e-6)
        sideways_velocity = velocity - (velocity @ way) * way
        if self.phase == "hit" and np.linalg.norm(velocity) > 0.005:
            aim = way - LEAN * sideways_velocity
            aim = aim / max(np.linalg.norm(aim), 1e-6)
        else:
            aim = way
        offset = (puck - hand)[:2]
        ahead = offset @ aim
        aside = offset - ahead * aim
        self.steps += 1

        post = puck[:2] - self.run_up * way
        if self.phase == "rise" and (hand[2] > puck[2] + CLEAR - 0.01 or self.steps > 6):
            self.start("place")
        elif self.phase == "place" and (np.linalg.norm(post - hand[:2]) < 0.01 or self.steps > 16):
            self.start("lower")
        elif self.phase == "lower" and ((abs(hand[2] - puck[2]) < 0.01 and self.steps > 2) or self.steps > 7):
            self.start("hit")

        if self.phase == "rise":
            return np.array([0.0, 0.0, 1.0, 0.0])
        if self.phase == "place":
            target = np.append(post, puck[2] + CLEAR + 0.01)
        elif self.phase == "lower":
            target = np.append(post, puck[2])
        else:
            down = np.clip(GAIN * (puck[2] - hand[2]), -1, 1)
            if hand[0] > 1.65 or ahead < -0.02 or ahead > 0.15:
                return np.array([0.0, 0.0, down, 0.0])
            push = aim + 8.0 * aside
            push = push / max(np.abs(push).max(), 1e-6)
            return np.array([*push, down, 0.0])
        return np.append(np.clip(GAIN * (target - hand), -1, 1), 0.0)
