"""The noise decision process: ends of episodes, by hand."""

from dataclasses import replace

import numpy as np
import torch

from expertgen.steering.process import NoiseProcess
from tests.toys import STEP_LENGTH, PointEnv, point_task


class PlainPrior:
    """Its chunk is its noise."""

    noise_shape = (4, 2)
    observation_size = 4

    def normalize(self, observation):
        return observation

    def decode(self, observation, noise):
        self.observation = observation.clone()
        return noise.clamp(-1, 1)


def process_from(points, goals, horizon=6):
    """A process whose environments start where the test wants them."""
    env = PointEnv(len(points), task=replace(point_task(), horizon=horizon))
    process = NoiseProcess(env, PlainPrior())
    process.reset(seed=0)
    env._observation[:] = np.concatenate([np.array(points), np.array(goals)], axis=1)
    process.observation = env._observation.copy()
    return process


def right(rows, steps_right=4):
    """Noise that moves to the right for some steps and then stays."""
    noise = torch.zeros(rows, 4, 2)
    noise[:, :steps_right, 0] = 1
    return noise


def test_an_episode_under_way_goes_on():
    process = process_from([[-0.9, 0]], [[0.9, 0]])
    decision = process.step(right(1))
    outcome = decision.outcome
    assert not outcome.ended.any()
    assert outcome.steps.tolist() == [4]
    np.testing.assert_allclose(decision.next_observation, [[-0.9 + 4 * STEP_LENGTH, 0, 0.9, 0]], atol=1e-6)
    np.testing.assert_array_equal(outcome.next_observation, decision.next_observation)


def test_success_inside_a_chunk_terminates_and_keeps_the_terminal_observation():
    process = process_from([[0, 0], [-0.9, 0.5]], [[2 * STEP_LENGTH, 0], [0.9, 0.5]])
    decision = process.step(right(2))
    outcome = decision.outcome
    assert outcome.success.tolist() == outcome.terminated.tolist() == [True, False]
    assert outcome.truncated.tolist() == [False, False]
    assert outcome.steps.tolist() == [2, 4]
    np.testing.assert_allclose(outcome.next_observation[0], [0.2, 0, 0.2, 0], atol=1e-6)
    # The next decision is taken in a new episode there, and in the old one here.
    assert np.abs(decision.next_observation[0] - outcome.next_observation[0]).max() > 0.01
    np.testing.assert_array_equal(decision.next_observation[1], outcome.next_observation[1])
    np.testing.assert_array_equal(process.observation, decision.next_observation)


def test_the_time_limit_truncates_in_the_middle_of_a_chunk():
    process = process_from([[-0.9, 0]], [[0.9, 0.9]], horizon=6)
    process.step(right(1))
    outcome = process.step(right(1)).outcome
    assert outcome.truncated.tolist() == [True]
    assert outcome.terminated.tolist() == outcome.success.tolist() == [False]
    assert outcome.steps.tolist() == [2]
    np.testing.assert_allclose(outcome.next_observation, [[-0.9 + 6 * STEP_LENGTH, 0, 0.9, 0.9]], atol=1e-6)


def test_the_prior_sees_what_the_decision_is_taken_on():
    process = process_from([[0, 0]], [[2 * STEP_LENGTH, 0]])
    np.testing.assert_allclose(process.observation, [[0, 0, 0.2, 0]], atol=1e-6)
    after = process.step(right(1)).next_observation
    process.step(right(1))
    np.testing.assert_array_equal(process.prior.observation.numpy(), after)


def test_the_same_seed_gives_the_same_bits():
    def play(seed):
        process = NoiseProcess(PointEnv(5), PlainPrior())
        process.reset(seed)
        generator = torch.Generator().manual_seed(1)
        decisions = [process.step(torch.randn(5, 4, 2, generator=generator)) for _ in range(30)]
        return np.stack([decision.next_observation for decision in decisions])

    np.testing.assert_array_equal(play(3), play(3))
    assert not np.array_equal(play(3), play(4))
