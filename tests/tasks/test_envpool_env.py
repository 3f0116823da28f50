"""EnvPool behind the contract: conformance, seeds, threads, success flags, scaled actions."""

from dataclasses import replace

import envpool
import numpy as np
import pytest

from expertgen.tasks.conformance import check_environment
from expertgen.tasks.envpool_env import EnvPoolEnv
from expertgen.tasks.registry import get_task


@pytest.mark.parametrize(
    "name",
    [
        "reach",
        "adroit-pen",
        "fetch-reach",
        "fetch-push",
        "hopper",
        "ant-truncated",
        "humanoid-truncated",
        "bimanual-insertion",
    ],
)
def test_conforms(name):
    task = replace(get_task(name), horizon=6)
    check_environment(lambda: EnvPoolEnv(task, 2))


def play(env, steps, seed=0):
    rng = np.random.default_rng(0)
    shape = (env.num_envs, env.task.action_size)
    return [env.reset(seed=seed)[0], *(env.step(rng.uniform(-1, 1, shape).astype(np.float32))[0] for _ in range(steps))]


def test_the_number_of_threads_changes_no_bit():
    task = get_task("push")
    np.testing.assert_array_equal(play(EnvPoolEnv(task, 4, threads=1), 8), play(EnvPoolEnv(task, 4, threads=2), 8))


def test_an_environment_does_not_depend_on_how_many_there_are():
    task = get_task("push")
    few, many = EnvPoolEnv(task, 2).reset(seed=3)[0], EnvPoolEnv(task, 4).reset(seed=3)[0]
    np.testing.assert_array_equal(few, many[:2])


def test_neighbouring_seeds_share_no_start():
    env = EnvPoolEnv(get_task("push"), 4)
    first, second = env.reset(seed=0)[0], env.reset(seed=1)[0]
    assert not {row.tobytes() for row in first} & {row.tobytes() for row in second}


def test_the_goal_is_visible():
    observation, _ = EnvPoolEnv(get_task("pick-place"), 3).reset(seed=0)
    assert (np.abs(observation[:, 36:39]).sum(axis=1) > 0.1).all()


def test_success_ends_the_episode_of_one_environment_and_the_others_go_on():
    """The scripted way to `reach` is a straight line; environment 1 does not move."""
    env = EnvPoolEnv(get_task("reach"), 2)
    observation, _ = env.reset(seed=1)
    ended = np.zeros(2, bool)
    for _ in range(100):
        actions = np.zeros((2, 4), np.float32)
        actions[0, :3] = 10.0 * (observation[0, 36:39] - observation[0, :3])
        observation, _, terminated, truncated, info = env.step(actions)
        ended = terminated | truncated
        if ended[0]:
            break
    assert info["success"].tolist() == [True, False]
    assert terminated.tolist() == [True, False]
    assert not truncated.any()
    frozen = observation[0].copy()
    observation, reward, terminated, _, info = env.step(np.ones((2, 4), np.float32))
    np.testing.assert_array_equal(observation[0], frozen)
    assert (reward[0], terminated[0], info["success"][0]) == (0.0, True, True)


def test_falling_is_a_failure_not_a_success():
    env = EnvPoolEnv(get_task("hopper"), 2)
    env.reset(seed=0)
    for _ in range(200):
        _, _, terminated, _, info = env.step(np.ones((2, 3), np.float32))
        if terminated.all():
            break
    assert terminated.all()
    assert not info["success"].any()


def test_actions_are_scaled_to_the_simulators_range():
    """Pusher takes actions in [-2, 2]; the same raw action must give the same bits."""
    env = EnvPoolEnv(get_task("pusher"), 1)
    env.reset(seed=0)
    seeds = [int(np.random.SeedSequence(0).generate_state(1)[0] >> 1)]
    raw = envpool.make_gymnasium("Pusher-v5", num_envs=1, num_threads=1, env_seed=seeds)
    raw.reset()
    action = np.array([[0.5, -1.0, 0.25, 1.0, 0.0, 0.75, -0.125]], np.float32)
    for _ in range(3):
        observation = env.step(action)[0]
        expected = raw.step(2.0 * action)[0]
    np.testing.assert_array_equal(observation, expected.astype(np.float32))


def test_adroit_pen_succeeds_where_place_and_direction_fit():
    env = EnvPoolEnv(get_task("adroit-pen"), 8)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    successes = 0
    for _ in range(100):
        observation, *_, info = env.step(rng.uniform(-0.3, 0.3, (8, 24)).astype(np.float32))
        near = np.linalg.norm(observation[:, 39:42], axis=1) < 0.075
        aligned = (observation[:, 33:36] * observation[:, 36:39]).sum(axis=1) > 0.95
        np.testing.assert_array_equal(info["success"], near & aligned)
        successes += info["success"].any()
    assert successes > 0


def test_adroit_door_succeeds_where_the_hinge_is_wide_open():
    """Success is what the observation says it is, at every step of a hand that flails at the door."""
    task = replace(get_task("adroit-door"), horizon=150)
    env = EnvPoolEnv(task, 4)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(150):
        observation, _, terminated, _, info = env.step(rng.uniform(-1, 1, (4, 28)).astype(np.float32))
        angle = task.named(observation)["door_angle"][:, 0]
        np.testing.assert_array_equal(info["success"], angle >= np.float32(1.35))
        np.testing.assert_array_equal(terminated, info["success"])


@pytest.mark.parametrize("name", ["fetch-push", "fetch-slide", "fetch-pick-and-place"])
def test_fetch_fields_are_what_they_are_called(name):
    env = EnvPoolEnv(get_task(name), 2)
    before, _ = env.reset(seed=0)
    action = np.array([[0.2, 0.1, 1.0, 1.0]] * 2, np.float32)
    for _ in range(6):
        after = env.step(action)[0]
    start, end = env.task.named(before), env.task.named(after)
    np.testing.assert_allclose(end["object_from_hand"], end["object_position"] - end["hand_position"], atol=1e-6)
    np.testing.assert_array_equal(start["goal_position"], end["goal_position"])
    risen = end["hand_position"] - start["hand_position"]
    assert (risen[:, 2] > 0.05).all()
    assert (end["finger_positions"].max(axis=1) > 0.02).all() == (name == "fetch-pick-and-place")


def test_fetch_reach_succeeds_at_5_cm():
    env = EnvPoolEnv(get_task("fetch-reach"), 16)
    observation, _ = env.reset(seed=0)
    for _ in range(20):
        fields = env.task.named(observation)
        towards = 5.0 * (fields["goal_position"] - fields["hand_position"])
        observation, _, _, _, info = env.step(np.append(towards, np.zeros((16, 1)), axis=1).astype(np.float32))
        fields = env.task.named(observation)
        distance = np.linalg.norm(fields["goal_position"] - fields["hand_position"], axis=1)
        np.testing.assert_array_equal(info["success"], distance < 0.05)
    assert info["success"].all()


def test_adroit_relocate_measures_from_one_point():
    env = EnvPoolEnv(get_task("adroit-relocate"), 4)
    fields = env.task.named(env.reset(seed=0)[0])
    expected = fields["palm_from_target"] - fields["palm_from_ball"]
    np.testing.assert_allclose(fields["ball_from_target"], expected, atol=1e-6)
