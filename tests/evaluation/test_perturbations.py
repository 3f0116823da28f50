"""Perturbations do what they say, to the step and to the bit, and the same to every policy."""

from dataclasses import replace

import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.evaluation.perturbations import KINDS, check_perturbation, perturb, perturb_all, read_perturbations
from expertgen.evaluation.rollouts import run_episodes
from expertgen.runs.progress import drain
from expertgen.tasks.conformance import check_environment
from expertgen.tasks.registry import get_task, make_env
from expertgen.tasks.spec import TaskSpec
from tests.evaluation.test_rollouts import Expert, same
from tests.toys import PointEnv, point_task

TASK = replace(
    point_task(),
    action_names=("x", "gripper"),
    perturbations=("gripper_open", "actuation_noise", "latency", "observation_noise", "random_start"),
)


class Recorder(PointEnv):
    """Keeps the actions that arrive, in order."""

    def __init__(self, num_envs: int, radius: float = 0.05, task: TaskSpec = TASK) -> None:
        super().__init__(num_envs, radius, task)
        self.arrived: list[np.ndarray] = []

    def step(self, actions):
        self.arrived.append(actions.copy())
        return super().step(actions)


class Waver:
    """A policy whose actions differ in every step, within ±0.5."""

    def __init__(self, chunk_length: int) -> None:
        self.chunk_length = chunk_length
        self.count = 0

    def reset(self, ids: np.ndarray) -> None: ...

    def plan(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        steps = self.count + np.arange(self.chunk_length)
        self.count += self.chunk_length
        return np.tile(0.5 * np.sin(steps)[None, :, None], (len(ids), 1, 2)).astype(np.float32)


def wave(steps: int) -> np.ndarray:
    return (0.5 * np.sin(np.arange(steps))).astype(np.float32)


def arrived(name: str, strength: float, chunk_length: int = 4, num_envs: int = 8, seed: int = 0) -> np.ndarray:
    """Actions `[N, T, A]` that arrive while the `Waver` plays one episode a copy; nobody ever succeeds."""
    env = Recorder(num_envs, radius=0.0)
    drain(run_episodes(perturb(env, name, strength), Waver(chunk_length), num_envs, seed))
    return np.stack(env.arrived, axis=1)


@pytest.mark.parametrize("name", list(KINDS))
def test_disturbed_environments_keep_the_contract(name):
    task = replace(TASK, horizon=12)
    check_environment(lambda: perturb(PointEnv(3, task=task), name, KINDS[name].strengths[1]))


@pytest.mark.parametrize("name", list(KINDS))
def test_strength_zero_gives_the_same_bits_as_none(name):
    plain = drain(run_episodes(PointEnv(3, task=TASK), Expert(), 9, seed=5))
    still = drain(run_episodes(perturb(PointEnv(3, task=TASK), name, 0), Expert(), 9, seed=5))
    assert all(same(a, b) for a, b in zip(plain, still, strict=True))


@pytest.mark.parametrize("name", list(KINDS))
def test_a_disturbed_episode_is_the_same_bits_again_and_another_with_another_seed(name):
    def play(seed):
        return drain(run_episodes(perturb(PointEnv(3, task=TASK), name, KINDS[name].strengths[2]), Expert(), 7, seed))

    first, again, other = play(5), play(5), play(6)
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert not any(same(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("steps", [1, 3, 40, 10**12])
def test_latency_delays_actions_exactly(steps):
    got = arrived("latency", steps)
    assert np.all(got[:, :steps] == 0)
    assert np.array_equal(got[0, steps:, 0], wave(max(TASK.horizon - steps, 0)))
    assert np.all(got == got[:1, :, :1])


def test_several_perturbations_at_once_and_the_default_strength():
    env = Recorder(50, radius=0.0)
    drain(run_episodes(perturb_all(env, ["gripper_open", "latency=3"]), Waver(4), 50, seed=0))
    got = np.stack(env.arrived, axis=1)
    assert np.array_equal(got[0, 3:, 0], wave(TASK.horizon - 3))
    assert set((got[:, :, 1] == -1.0).sum(axis=1)) == {KINDS["gripper_open"].strengths[1]}
    assert perturb_all(env, []) is env
    with pytest.raises(UsageError, match="does not allow perturbation 'wind'"):
        perturb_all(env, ["wind"])


def test_no_action_of_an_episode_arrives_in_the_next():
    env = Recorder(1, radius=0.0)
    drain(run_episodes(perturb(env, "latency", 3), Waver(4), 2, seed=0))
    second = np.concatenate(env.arrived)[TASK.horizon :, 0]
    assert np.all(second[:3] == 0)
    assert np.array_equal(second[3:], (0.5 * np.sin(np.arange(40, 77))).astype(np.float32))


def test_the_gripper_is_open_exactly_in_the_window():
    got = arrived("gripper_open", 6, num_envs=200)
    assert np.all(got[:, :, 0] == wave(TASK.horizon))  # the other dimension is left alone
    opened = got[:, :, 1] == -1.0
    assert np.all(got[:, :, 1][~opened] == np.broadcast_to(wave(TASK.horizon), opened.shape)[~opened])
    starts = opened.argmax(axis=1)
    assert np.all(opened.sum(axis=1) == 6)
    assert all(opened[i, start : start + 6].all() for i, start in enumerate(starts))
    assert set(starts) == set(range(10))  # each step of the first quarter of the time limit


def test_the_gripper_opens_anew_in_the_next_episode():
    env = Recorder(1, radius=0.0)
    drain(run_episodes(perturb(env, "gripper_open", 2), Waver(4), 30, seed=0))
    opened = (np.concatenate(env.arrived)[:, 1] == -1.0).reshape(30, TASK.horizon)
    assert np.all(opened.sum(axis=1) == 2)
    assert len(set(opened.argmax(axis=1))) > 5


def test_actuation_noise_has_its_deviation_and_is_white():
    noise = arrived("actuation_noise", 0.3, num_envs=64) - wave(TASK.horizon)[None, :, None]
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std(axis=(0, 1)) == pytest.approx([0.3, 0.3], rel=0.04)
    for a, b in ((noise[:, 1:], noise[:, :-1]), (noise[..., 0], noise[..., 1]), (noise[1:], noise[:-1])):
        assert np.mean(a * b) / 0.09 == pytest.approx(0, abs=0.06)


def test_strengths_share_their_draws():
    mild, strong = (arrived("actuation_noise", s) - wave(TASK.horizon)[None, :, None] for s in (0.1, 0.4))
    np.testing.assert_allclose(4 * mild, strong, atol=1e-6)


def test_observation_noise_has_its_deviation_on_lengths_alone_and_leaves_the_world_alone():
    fields = (TASK.fields[0], replace(TASK.fields[1], unit="rad"))
    task = replace(TASK, fields=fields)
    plain = drain(run_episodes(PointEnv(64, 0.0, task), Waver(4), 64, seed=3))
    noisy = drain(run_episodes(perturb(PointEnv(64, 0.0, task), "observation_noise", 0.02), Waver(4), 64, seed=3))
    error = np.stack([a.observations - b.observations for a, b in zip(noisy, plain, strict=True)])
    assert error.shape == (64, TASK.horizon + 1, 4)
    assert error[:, :, :2].std(axis=(0, 1)) == pytest.approx([0.02, 0.02], rel=0.04)
    assert error[:, 0, :2].std() == pytest.approx(0.02, rel=0.2)  # the first observation, too
    assert error[:, -1, :2].std() == pytest.approx(0.02, rel=0.2)  # and the last
    assert np.mean(error[:, 1:, :2] * error[:, :-1, :2]) / 4e-4 == pytest.approx(0, abs=0.06)
    assert np.abs(np.mean(error[:, 1:, :2] * error[:, :-1, :2], axis=(0, 2))).max() / 4e-4 < 0.5
    assert np.all(error[:, :, 2:] == 0)
    assert [e.success for e in plain] == [e.success for e in noisy]


def test_a_random_start_drives_for_its_steps_and_then_lets_go():
    got = arrived("random_start", 7, num_envs=50)
    assert np.all(got[:, :7] == got[:, :1])
    assert np.all(got[:, 7:] == wave(TASK.horizon)[None, 7:, None])
    assert np.abs(got[:, 0]).max() <= 1
    assert got[:, 0].std(axis=0) == pytest.approx([1 / np.sqrt(3)] * 2, rel=0.2)  # uniform in [-1, 1]


@pytest.mark.parametrize(
    ("name", "strength"), [("gripper_open", 6), ("actuation_noise", 0.2), ("latency", 3), ("random_start", 7)]
)
def test_two_policies_meet_the_same_disturbances(name, strength):
    # Chunks of other lengths, and another number of episodes at a time ending at other moments, change nothing.
    one, other = arrived(name, strength, chunk_length=4), arrived(name, strength, chunk_length=5)
    assert np.array_equal(one, other)
    assert np.array_equal(one[:3], arrived(name, strength, num_envs=3))


def test_disturbances_do_not_depend_on_when_other_episodes_end():
    def third_episodes(radius):
        env = Recorder(4, radius)
        disturbed = perturb(env, "random_start", TASK.horizon)  # its action is the draw
        episodes = drain(run_episodes(disturbed, Waver(4), 12, seed=1))
        ends = np.cumsum([[e.steps for e in episodes if e.env == i] for i in range(4)], axis=1)
        drawn = [list(dict.fromkeys(float(a[i, 0]) for a in env.arrived if a[i, 0])) for i in range(4)]
        return ends, [own[2] for own in drawn]

    (together, ours), (apart, theirs) = third_episodes(0.0), third_episodes(0.6)
    assert np.all(together == together[0])
    assert len({tuple(row) for row in apart // 4}) == 4
    assert ours == theirs


def test_it_runs_in_a_simulator_and_strength_zero_changes_no_bit_there():
    task = replace(get_task("reach"), horizon=16)

    class Still(Waver):
        def plan(self, observation, ids):
            return np.tile(observation[:, None, :4], (1, self.chunk_length, 1)).clip(-1, 1)

    def play(name=None, strength=0.0):
        env = make_env(task, 3)
        return drain(run_episodes(perturb(env, name, strength) if name else env, Still(4), 5, seed=2))

    plain = play()
    for name in KINDS:
        assert all(same(a, b) for a, b in zip(plain, play(name), strict=True)), name
        assert not any(same(a, b) for a, b in zip(plain, play(name, KINDS[name].strengths[2]), strict=True)), name


@pytest.mark.parametrize(
    ("name", "strength", "said"),
    [
        ("latancy", 1, "does not allow perturbation 'latancy'; did you mean 'latency'?; it allows gripper_open, act"),
        ("latency", 1.5, "strength of latency must be a whole number of control steps that is not negative, not 1.5"),
        ("latency", -1, "not negative, not -1"),
        ("actuation_noise", -0.1, "must be a finite number that is not negative, not -0.1"),
        ("observation_noise", float("nan"), "must be a finite number that is not negative, not nan"),
    ],
)
def test_what_cannot_be_is_refused(name, strength, said):
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        check_perturbation(TASK, name, strength)


def test_a_task_says_what_it_allows():
    with pytest.raises(UsageError, match="'hopper' does not allow perturbation 'gripper_open'; it allows actuation_no"):
        check_perturbation(get_task("hopper"), "gripper_open", 5)
    wrong = replace(TASK, action_names=("x", "y"), fields=())
    with pytest.raises(UsageError, match="no action named 'gripper'"):
        perturb(PointEnv(2, task=wrong), "gripper_open", 5)
    with pytest.raises(UsageError, match="names no field in metres"):
        perturb(PointEnv(2, task=wrong), "observation_noise", 0.01)


def test_words_name_perturbations_and_strengths():
    assert read_perturbations(TASK, ["latency=3", "latency=3.0", "latency"]) == [
        ("latency", 3.0),
        ("latency", 1.0),
        ("latency", 2.0),
        ("latency", 4.0),
    ]
    assert len(read_perturbations(TASK, [])) == 15
    assert {name for name, _ in read_perturbations(point_task(), [])} == {"actuation_noise", "latency", "random_start"}
    with pytest.raises(UsageError, match="'much' is no number; write NAME or NAME=STRENGTH"):
        read_perturbations(TASK, ["latency=much"])
