"""The demonstrator with two hands: its kinematics against the simulator's, what it achieves, and what spoils it."""

import numpy as np
import pytest

from expertgen.demos.bimanual import Hand, Pose, fingertips
from expertgen.demos.collect import collect
from expertgen.demos.imperfections import Imperfections
from expertgen.demos.scripted import find_script, imperfect_demonstrator, source_name
from expertgen.runs.progress import drain
from expertgen.tasks.registry import get_task, make_env

TASK = get_task("bimanual-insertion")
HANDS = (("left", -1.0, "socket"), ("right", 1.0, "peg"))


def demonstrate(imperfections, episodes=4):
    env = make_env(TASK, episodes)
    demos = drain(collect(env, imperfect_demonstrator(TASK, imperfections), episodes, 0, "test"))
    env.close()
    return demos


@pytest.mark.parametrize(("name", "side", "thing"), HANDS)
def test_the_kinematics_are_those_of_the_simulator(name, side, thing):
    """The simulator's site between the fingers lies 11.4 mm behind the fingertips, and 0.3 mm above.

    It is shown where it was a step of the simulator ago.
    """
    env = make_env(TASK, 4)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(30):
        observation = env.step(rng.uniform(-1, 1, (4, 14)).astype(np.float32))[0]
    for row in observation:
        seen = TASK.named(row)
        joints = seen[f"{name}_joints"] - 0.0025 * seen[f"{name}_joint_velocities"]
        tips, _ = fingertips(Hand(side, name, thing).base, joints)
        site = tips.position + tips.rotation @ [-0.0114, 0.0, 0.0003]
        np.testing.assert_allclose(site, seen[f"{name}_hand_position"], atol=1e-5)


@pytest.mark.parametrize(("name", "side", "thing"), HANDS)
def test_the_jacobian_is_the_derivative_of_the_pose(name, side, thing):
    base, joints, step = Hand(side, name, thing).base, np.array([0.2, -0.3, 0.9, 0.4, -0.5, 0.7]), 1e-6
    here, jacobian = fingertips(base, joints)
    for i, column in enumerate(jacobian.T):
        there, _ = fingertips(base, joints + step * np.eye(6)[i])
        np.testing.assert_allclose(here.error(there) / step, column, atol=1e-5)


def test_an_error_is_a_shift_and_a_rotation_vector():
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    error = Pose(np.zeros(3), np.eye(3)).error(Pose(np.array([1.0, 2.0, 3.0]), quarter))
    np.testing.assert_allclose(error, [1, 2, 3, 0, 0, 1])  # the sine of a right angle


def test_it_succeeds():
    demos = demonstrate(Imperfections())
    assert demos.successes == 4
    assert all(len(demo.actions) < 160 for demo in demos.demos)


@pytest.mark.parametrize(
    "imperfections",
    [Imperfections(calibration_error=0.04), Imperfections(gripper_opening=0.1)],
    ids=["calibration", "gripper"],
)
def test_what_the_roles_are_about_spoils_it(imperfections):
    assert demonstrate(imperfections).successes <= 1


def test_an_opening_gripper_is_the_right_one():
    demos = demonstrate(Imperfections(gripper_opening=0.5), 2).demos
    left, right = (np.concatenate([demo.actions[:, column] for demo in demos]) for column in (6, 13))
    assert (np.diff(right) != 0).sum() > (np.diff(left) != 0).sum() + 5


def test_the_source_is_not_metaworlds():
    assert find_script(TASK).roles.object_position == "peg_position"
    assert source_name(TASK, Imperfections(0.0075)) == "bimanual-script, calibration_error 0.0075"
