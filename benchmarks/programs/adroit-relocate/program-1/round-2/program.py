"""Measures ranges and directions of its arm, sets the palm down behind the ball, closes all fingers and carries it."""

import numpy as np

ARM = slice(0, 3)
FLEXION = [9, 10, 11, 13, 14, 15, 17, 18, 19, 22, 23, 24]  # J2 to J0 of the four fingers
MEASURE = 25  # control steps until the arm has settled
PROBE = 0.4


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.behind = rng.uniform(0.0, 0.06)  # m that the palm stays behind the ball along y
        self.height = rng.uniform(0.035, 0.06)  # m above the ball's centre, to grasp
        self.flexion = rng.uniform(0.2, 0.9)
        self.joints, self.palms, self.settled = [], [], []
        self.start("measure")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        q = observation["hand_joints"][ARM].astype(float)
        palm = observation["palm_from_ball"].astype(float)
        away = observation["ball_from_target"].astype(float)
        self.steps += 1

        if self.phase == "measure":
            self.joints.append(np.append(q, 1.0))
            self.palms.append(palm)
            number, rest = divmod(self.steps - 1, MEASURE)
            if rest == 0 and number > 0:
                self.settled.append(q)
            if number < 4:
                probe = np.zeros(3)
                if number > 0:
                    probe[number - 1] = PROBE
                return self.command(probe, -1.0)
            fit = np.linalg.lstsq(np.array(self.joints), np.array(self.palms), rcond=None)[0]
            self.to_joints = np.linalg.pinv(fit[:3].T, rcond=0.1)
            self.middle = self.settled[0]
            half = [(self.settled[i + 1] - self.middle)[i] / PROBE for i in range(3)]
            self.half = np.maximum(np.abs(half), 0.1) * np.sign(half)
            self.start("over")

        over = np.array([0.0, -self.behind, self.height + 0.07])
        grasp = np.array([0.0, -self.behind, self.height])
        if self.phase == "over" and np.linalg.norm((palm - over)[:2]) < 0.02 and abs(palm[2] - over[2]) < 0.05:
            self.start("lower")
        elif self.phase == "lower" and (abs(palm[2] - grasp[2]) < 0.008 or self.steps > 60):
            self.start("close")
        elif self.phase == "close" and self.steps > 45:
            self.start("lift")
        elif self.phase == "lift" and self.steps > 40:
            self.start("carry")
        if self.phase in ("lift", "carry") and np.linalg.norm(palm) > 0.13:
            self.start("over")

        if self.phase == "over":
            return self.command(self.towards(q, over - palm), -1.0)
        if self.phase == "lower":
            return self.command(self.towards(q, grasp - palm), -1.0)
        if self.phase == "close":
            return self.command(self.towards(q, grasp - palm), self.flexion)
        wanted = np.array([0.0, 0.0, 0.08]) if self.phase == "lift" else -away
        return self.command(self.towards(q, wanted), self.flexion)

    def towards(self, q, move):
        """The arm's command that moves the palm by `move` [m], at most 8 cm at a time."""
        move = move * min(1.0, 0.08 / max(np.linalg.norm(move), 1e-6))
        return np.clip((q + self.to_joints @ move - self.middle) / self.half, -1, 1)

    def command(self, arm, flexion):
        action = np.zeros(30)
        action[ARM] = arm
        action[FLEXION] = flexion
        action[20] = -1.0 if flexion < 0 else 0.0  # the palm's fold
        action[25:30] = [1.0, -1.0, 0.0, 0.0, 1.0] if flexion < 0 else [1.0, 0.5, 0.0, 0.0, -0.5]
        return action
