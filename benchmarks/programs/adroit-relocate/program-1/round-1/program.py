"""Measures how its arm moves, lowers the palm behind the ball, closes all fingers around it and carries it to the target."""

import numpy as np

ARM = slice(0, 3)
FLEXION = [9, 10, 11, 13, 14, 15, 17, 18, 19, 22, 23, 24]  # J2 to J0 of the four fingers
MEASURE = 12  # control steps for each translation
GAIN = 0.15  # action per metre of error and control step


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.behind = rng.uniform(0.02, 0.06)  # m that the palm stays behind the ball along y
        self.height = rng.uniform(0.035, 0.055)  # m above the ball's centre, to grasp
        self.flexion = rng.uniform(0.3, 0.8)
        self.arm = np.zeros(3)  # present command of the translations
        self.joints, self.palms = [], []
        self.to_joints = None
        self.start("measure")

    def start(self, phase):
        self.phase = phase
        self.steps = 0

    def act(self, observation):
        joints = observation["hand_joints"].astype(float)
        palm = observation["palm_from_ball"].astype(float)
        away = observation["ball_from_target"].astype(float)
        self.steps += 1

        if self.phase == "measure":
            self.joints.append(np.append(joints[ARM], 1.0))
            self.palms.append(palm)
            axis = (self.steps - 1) // MEASURE
            if axis < 3:
                self.arm = 0.4 * np.eye(3)[axis]
                return self.command(-1.0)
            fit = np.linalg.lstsq(np.array(self.joints), np.array(self.palms), rcond=None)[0]
            self.to_joints = np.linalg.pinv(fit[:3].T, rcond=0.1)
            self.start("over")

        over = np.array([0.0, -self.behind, self.height + 0.08])
        grasp = np.array([0.0, -self.behind, self.height])
        if self.phase == "over" and np.linalg.norm((palm - over)[:2]) < 0.015 and abs(palm[2] - over[2]) < 0.04:
            self.start("lower")
        elif self.phase == "lower" and (abs(palm[2] - grasp[2]) < 0.01 or self.steps > 80):
            self.start("close")
        elif self.phase == "close" and self.steps > 50:
            self.start("lift")
        elif self.phase == "lift" and self.steps > 40:
            self.start("carry")
        if self.phase in ("lift", "carry") and np.linalg.norm(palm) > 0.14:
            self.start("over")

        if self.phase == "over":
            self.servo(over - palm)
            return self.command(-1.0)
        if self.phase == "lower":
            self.servo(grasp - palm)
            return self.command(-1.0)
        if self.phase == "close":
            return self.command(self.flexion)
        self.servo(np.array([0.0, 0.0, 0.10]) if self.phase == "lift" else -away)
        return self.command(self.flexion)

    def servo(self, error):
        """Moves the command of the arm so that the palm moves by `error` [m]."""
        error = error * min(1.0, 0.10 / max(np.linalg.norm(error), 1e-6))
        self.arm = np.clip(self.arm + GAIN * (self.to_joints @ error) * 2.0, -1, 1)

    def command(self, flexion):
        action = np.zeros(30)
        action[ARM] = self.arm
        action[FLEXION] = flexion
        action[20] = -1.0 if flexion < 0 else 0.0  # the palm's fold
        action[25:30] = [1.0, -1.0, 0.0, 0.0, 1.0] if flexion < 0 else [1.0, 0.5, 0.0, 0.0, -0.5]
        return action
