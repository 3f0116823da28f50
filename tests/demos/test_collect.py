from itertools import pairwise

import numpy as np
import pytest

from expertgen.demos.collect import CollectConfig, ProgramPolicy, collect, only_successes
from expertgen.demos.describe import describe
from expertgen.demos.imperfections import Imperfections, Roles, imperfect
from expertgen.demos.program import load_program
from expertgen.demos.store import DemoSet
from expertgen.errors import UsageError
from expertgen.evaluation.rollouts import run_episodes
from expertgen.runs.progress import drain
from tests.toys import STEP_LENGTH, PointEnv, point_task


class Expert:
    """Straight to the goal, in some episodes slower than in others; commands more than an action can be."""

    def reset(self, seed):
        self.gain = np.random.default_rng(seed).uniform(0.3, 1.0)

    def act(self, observation):
        return self.gain * (observation["goal_position"] - observation["point_position"]) / STEP_LENGTH


class Lazy:
    def reset(self, seed):
        pass

    def act(self, observation):
        return np.zeros(2, np.float32)


def gather(make_program=Expert, episodes=10, num_envs=4, seed=0):
    return drain(collect(PointEnv(num_envs), make_program, episodes, seed, "test"))


def test_records_what_happened():
    demos = gather()
    assert len(demos) == 10
    assert demos.successes == 10
    demos.check(point_task())
    for demo in demos.demos:
        assert (demo.source, demo.seed) == ("test", 0)
        assert np.abs(demo.actions).max() <= 1.0
        moved = demo.observations[:-1, :2] + STEP_LENGTH * demo.actions[:-1]
        np.testing.assert_allclose(demo.observations[1:, :2], moved.clip(-1, 1), atol=1e-6)
        end = demo.observations[-1, :2] + STEP_LENGTH * demo.actions[-1]
        distance = np.linalg.norm(end - demo.observations[-1, 2:])
        assert distance < 0.05
        assert demo.rewards[-1] == pytest.approx(-distance, abs=1e-6)


def test_every_environment_plays_its_share_and_the_first_ones_one_more():
    demos, alone = gather(episodes=10, num_envs=4), gather(episodes=3, num_envs=1)
    # Each toy environment has its own stream: the first three demos are those of environment 0.
    for demo, first in zip(demos.demos[:3], alone.demos, strict=True):
        np.testing.assert_array_equal(demo.observations, first.observations)
    goals = {tuple(demo.observations[0]) for demo in demos.demos}
    assert len(goals) == 10


def test_same_seed_same_bits_and_another_seed_other_ones(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        gather(seed=seed).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert not np.array_equal(
        DemoSet.load(tmp_path / "a").demos[0].actions, DemoSet.load(tmp_path / "c").demos[0].actions
    )


def test_the_true_observation_is_recorded_and_the_belief_is_not():
    roles = Roles("goal_position", "point_position", gripper=0)

    class Plane(Expert):
        """Calibration errors are of positions in space; this toy has a plane."""

        def act(self, observation):
            return super().act({name: array[:2] for name, array in observation.items()})

    class Space:
        def __init__(self):
            self.program = imperfect(Plane, Imperfections(calibration_error=0.3), roles)()

        def reset(self, seed):
            self.program.reset(seed)

        def act(self, observation):
            return self.program.act({name: np.append(array, np.float32(0)) for name, array in observation.items()})

    true, wrong = gather(), gather(Space)
    assert wrong.successes < true.successes
    assert [tuple(d.observations[0]) for d in wrong.demos] == [tuple(d.observations[0]) for d in true.demos]
    for demo in wrong.demos:
        assert (demo.observations[:, 2:] == demo.observations[0, 2:]).all()


def test_keep_successes_leaves_failures_out():
    class Sometimes(Expert):
        def reset(self, seed):
            super().reset(seed)
            self.gain = float(seed % 2)

    everything = gather(Sometimes)
    kept = only_successes(everything)
    assert 0 < kept.successes == len(kept) == everything.successes < len(everything)


def test_failures_run_to_the_time_limit_and_are_demonstrations_too():
    demos = gather(Lazy, episodes=4)
    assert demos.successes == 0
    assert {len(demo.actions) for demo in demos.demos} == {40}
    with pytest.raises(UsageError, match="none of 4 episodes of 'toy-point' succeeded"):
        only_successes(demos)


def test_fewer_episodes_than_environments():
    assert len(gather(episodes=2, num_envs=5)) == 2


def test_progress_counts_episodes():
    steps = list(collect(PointEnv(4), Expert, 10, 0, "test"))
    assert [(s.stage, s.total, s.unit) for s in steps[:1]] == [("demos", 10, "episodes")]
    assert steps[-1].done == 10
    assert steps[-1].metrics == {"success": 1.0}
    assert all(a.done <= b.done for a, b in pairwise(steps))


def test_a_failing_program_stops_the_collection(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(
        "class Program:\n    def reset(self, seed): pass\n    def act(self, observation):\n        return 1 / 0\n"
    )
    with pytest.raises(UsageError, match=r"bad\.py, line 4: ZeroDivisionError"):
        gather(load_program(path, point_task()))


SOMETIMES = """\
class Program:
    def reset(self, seed):
        self.bad, self.steps = seed % 3, 0
        if self.bad == 2:
            raise ValueError("no such plan")

    def act(self, observation):
        self.steps += 1
        if self.bad == 1 and self.steps > 3:
            return [0.0, float("nan")]
        return (observation["goal_position"] - observation["point_position"]) / 0.1
"""


def test_a_failing_program_ends_its_own_episode_and_the_rest_goes_on(tmp_path):
    path = tmp_path / "sometimes.py"
    path.write_text(SOMETIMES)
    steps = list(collect(PointEnv(4), load_program(path, point_task()), 40, 0, "test"))
    assert steps[-1].done == 40
    demos = gather(load_program(path, point_task()), episodes=40)
    failed = [demo for demo in demos.demos if demo.failure]
    assert 0 < len(failed) < len(demos) < 40
    assert demos.successes == len(demos) - len(failed)
    reason = f"{path}, line 7: act returned a value that is not finite: [0.0, nan]"
    assert {(demo.success, len(demo.actions), demo.failure) for demo in failed} == {(False, 3, reason)}
    lost = 40 - len(demos)
    why = f"{lost} times '{path}, line 5: ValueError: no such plan'"
    assert demos.notes == (f"left out {lost} of 40 episodes because the program failed: {why}",)
    assert steps[-1].warning == demos.notes[0]
    demos.save(tmp_path / "demos.h5")
    assert [demo.failure for demo in DemoSet.load(tmp_path / "demos.h5").demos] == [d.failure for d in demos.demos]
    assert f"{len(failed)} of {len(demos)} demonstrations end where the program failed" in describe(demos).warnings[0]
    kept = only_successes(demos)
    assert kept.successes == len(kept) == demos.successes
    why = f"{len(failed)} times {reason!r}"
    assert kept.notes[1] == f"left out {len(failed)} of {len(demos)} episodes because the program failed: {why}"


def test_a_policy_whose_program_failed_stands_still(tmp_path):
    path = tmp_path / "sometimes.py"
    path.write_text(SOMETIMES)
    env = PointEnv(8)
    episodes = drain(run_episodes(env, ProgramPolicy(env.task, load_program(path, env.task), 8, 0), 8, seed=0))
    assert {episode.success for episode in episodes} == {True, False}


def test_a_program_cannot_change_what_is_recorded(tmp_path):
    path = tmp_path / "cheat.py"
    path.write_text(
        "class Program:\n    def reset(self, seed): pass\n"
        "    def act(self, observation):\n        observation['goal_position'][:] = 0\n"
    )
    with pytest.raises(UsageError, match=r"cheat\.py, line 4: ValueError"):
        gather(load_program(path, point_task()))


def test_a_program_is_evaluated_like_any_policy():
    env = PointEnv(4)
    episodes = drain(run_episodes(env, ProgramPolicy(env.task, Expert, 4, seed=0), episodes=10, seed=0))
    for episode, demo in zip(episodes, gather().demos, strict=True):
        np.testing.assert_array_equal(episode.actions, demo.actions)
        np.testing.assert_array_equal(episode.observations[:-1], demo.observations)
        assert episode.success == demo.success


def test_config_refuses_impossible_values(wrong_types):
    assert CollectConfig() == CollectConfig(128, 64, "all", Imperfections(0.015, 0.3))
    for values, message in (({"episodes": 0}, "demos.episodes must"), ({"num_envs": 0}, "demos.num_envs must")):
        with pytest.raises(UsageError, match=message):
            CollectConfig(**values)
    with pytest.raises(UsageError, match="episodes is 0"):
        gather(episodes=0)
