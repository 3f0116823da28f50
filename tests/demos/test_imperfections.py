from dataclasses import replace

import numpy as np
import pytest

from expertgen.demos.imperfections import OPENING_STEPS, Imperfections, Roles, imperfect
from expertgen.errors import UsageError

ROLES = Roles("cup_position", "hand_position", gripper=3)


class Recorder:
    """Does what it was told, and keeps what it saw."""

    def __init__(self, actions=None):
        self.actions = actions
        self.seen = []

    def reset(self, seed):
        self.seen = []

    def act(self, observation):
        self.seen.append(observation)
        action = np.zeros(4, np.float32)
        if self.actions is not None:
            action[3] = self.actions[len(self.seen) - 1]
        return action


def observation(cup=(0.0, 0.0, 0.0), hand=(0.0, 0.0, 0.0)):
    return {"cup_position": np.array(cup, np.float32), "hand_position": np.array(hand, np.float32)}


def run(imperfections, steps, seed=0, gripper=None, observations=None, program=None):
    """Runs a recorder with imperfections; returns the actions that came out, and what it saw."""
    inner = program or Recorder(gripper)
    outer = imperfect(lambda: inner, imperfections, ROLES)()
    outer.reset(seed)
    given = observations or [observation()] * steps
    return np.array([outer.act(given[t]) for t in range(steps)]), inner.seen


def test_no_imperfection_is_the_program_itself():
    inner = Recorder()
    assert imperfect(lambda: inner, Imperfections(), ROLES)() is inner


def test_calibration_error_is_one_offset_per_episode_with_the_given_deviation():
    offsets = []
    for seed in range(400):
        _, seen = run(Imperfections(calibration_error=0.02), 3, seed)
        assert (seen[0]["cup_position"] == seen[2]["cup_position"]).all()
        assert (seen[0]["hand_position"] == 0).all()
        offsets.append(seen[0]["cup_position"])
    np.testing.assert_allclose(np.std(offsets, axis=0), 0.02, rtol=0.12)
    np.testing.assert_allclose(np.mean(offsets, axis=0), 0.0, atol=0.004)


def test_calibration_error_leaves_the_given_observation_alone():
    given = observation()
    run(Imperfections(calibration_error=0.02), 1, observations=[given])
    assert (given["cup_position"] == 0).all()


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_actuation_noise_has_the_given_deviation_and_correlation(correlation):
    imperfections = Imperfections(actuation_noise=0.3, actuation_correlation=correlation)
    noise = np.array([run(imperfections, 200, seed)[0] for seed in range(30)])
    assert noise[:, 0].std() == pytest.approx(0.3, rel=0.15)
    assert noise.std() == pytest.approx(0.3, rel=0.1)
    following = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
    assert following == pytest.approx(correlation, abs=0.04)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.15


def test_actuation_noise_comes_after_the_clipping_of_the_command():
    actions, _ = run(Imperfections(actuation_noise=0.1), 200, gripper=[50.0] * 200)
    assert actions[:, 3].mean() == pytest.approx(1.0, abs=0.03)
    assert actions[:, 3].std() == pytest.approx(0.1, rel=0.2)


def test_latency_shows_old_observations_and_the_first_one_at_the_start():
    given = [observation(cup=(t, 0, 0)) for t in range(6)]
    _, seen = run(Imperfections(latency=2), 6, observations=given)
    assert [s["cup_position"][0] for s in seen] == [0, 0, 0, 1, 2, 3]


def test_latency_forgets_the_old_episode():
    inner = Recorder()
    program = imperfect(lambda: inner, Imperfections(latency=2), ROLES)()
    program.reset(0)
    program.act(observation(cup=(7, 0, 0)))
    program.reset(1)
    program.act(observation(cup=(8, 0, 0)))
    assert inner.seen[0]["cup_position"][0] == 8


def test_gripper_opens_for_ten_steps_and_only_while_closing():
    gripper = [-1.0] * 20 + [0.6] * 5 + [-1.0] * 30
    actions, _ = run(Imperfections(gripper_opening=1.0), 55, gripper=gripper)
    expected = np.array(gripper, np.float32)
    expected[20 : 20 + OPENING_STEPS] = -1.0
    np.testing.assert_array_equal(actions[:, 3], expected)


def test_gripper_opens_with_the_given_probability():
    gripper = [-1.0] + [0.6] * 300
    opened = [run(Imperfections(gripper_opening=0.02), 301, seed, gripper)[0][1:, 3] for seed in range(60)]
    # A cycle is 50 steps of waiting on average (the first opened one included) and 10 of being open.
    share = np.mean(np.array(opened) < 0)
    assert share == pytest.approx(10 / (49 + 10), abs=0.03)


def test_half_closed_from_the_start_is_not_closing():
    actions, _ = run(Imperfections(gripper_opening=1.0), 20, gripper=[0.5] * 20)
    assert (actions[:, 3] == 0.5).all()


def carried(lost_at):
    """From step 5 the gripper closes; the hand moves along x by 1 cm a step and carries the cup until it loses it."""
    given = []
    for t in range(40):
        hand, cup = 0.01 * max(t - 5, 0), 0.01 * max(min(t, lost_at) - 5, 0)
        given.append(observation(cup=(cup, 0.0, 0.02), hand=(hand, 0.0, 0.1)))
    return given


CLOSE = [-1.0] * 5 + [0.6] * 35


def beliefs(seen):
    return np.array([s["cup_position"][0] for s in seen])


def test_without_recovery_the_lost_object_is_believed_in_the_hand():
    given = carried(lost_at=20)
    _, seen = run(Imperfections(no_recovery=1.0), 40, gripper=CLOSE, observations=given)
    true, hand = beliefs(given), np.array([g["hand_position"][0] for g in given])
    # From step 23 on the cup is more than 2 cm away from where the hand had grasped it.
    np.testing.assert_allclose(beliefs(seen)[:23], true[:23])
    np.testing.assert_allclose(beliefs(seen)[23:], hand[23:], atol=1e-6)
    assert true[39] == pytest.approx(0.15)
    assert hand[39] == pytest.approx(0.34)


def test_an_object_that_stays_in_the_hand_is_seen_as_it_is():
    given = carried(lost_at=40)
    _, seen = run(Imperfections(no_recovery=1.0), 40, gripper=CLOSE, observations=given)
    np.testing.assert_array_equal(beliefs(seen), beliefs(given))


def test_an_object_that_moves_before_the_gripper_closes_is_not_grasped():
    given = carried(lost_at=20)
    late = [-1.0] * 25 + [0.6] * 15
    _, seen = run(Imperfections(no_recovery=1.0), 40, gripper=late, observations=given)
    np.testing.assert_array_equal(beliefs(seen), beliefs(given))


def test_no_recovery_is_drawn_once_per_episode():
    given = carried(lost_at=20)
    ends = [beliefs(run(Imperfections(no_recovery=0.3), 40, seed, CLOSE, given)[1])[39] for seed in range(100)]
    assert 18 <= np.sum(np.array(ends) > 0.3) <= 42


def test_imperfections_do_not_share_random_numbers():
    alone, _ = run(Imperfections(actuation_noise=0.3), 50, seed=3)
    together, _ = run(Imperfections(actuation_noise=0.3, calibration_error=0.01, latency=3), 50, seed=3)
    np.testing.assert_array_equal(alone, together)


def test_same_seed_gives_the_same_actions_also_after_other_episodes():
    everything = Imperfections(0.01, 0.3, 0.5, 2, 0.05, 0.5)
    gripper = [-1.0] * 5 + [0.6] * 45
    first, _ = run(everything, 50, seed=5, gripper=gripper)
    inner = Recorder(gripper)
    program = imperfect(lambda: inner, everything, ROLES)()
    for seed in (9, 5):
        program.reset(seed)
        again = np.array([program.act(observation()) for _ in range(50)])
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, run(everything, 50, seed=6, gripper=gripper)[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("calibration_error", -0.1),
        ("calibration_error", float("nan")),
        ("actuation_noise", float("inf")),
        ("actuation_correlation", 1.0),
        ("latency", -1),
        ("gripper_opening", 1.5),
        ("no_recovery", -0.5),
    ],
)
def test_impossible_strength_names_the_field(name, value):
    with pytest.raises(UsageError, match=rf"^imperfections\.{name} must "):
        replace(Imperfections(), **{name: value})
