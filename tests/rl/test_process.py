"""The decision process: ends of episodes, by hand."""

from dataclasses import replace

import numpy as np
import torch

from expertgen.rl.process import DecisionProcess
from tests.toys import STEP_LENGTH, PointEnv, point_task


class PlainController:
    """The agent sees the task's observation and decides on the chunk."""

    observation_size, action_size, chunk_length = 4, 8, 4

    def reset(self, ids):
        self.begun = ids.tolist()

    def warm_up(self, normal, seen):
        return normal.clamp(-1, 1)

    def measures(self, action):
        return {}

    def observe(self, observation, ids):
        return torch.from_numpy(observation.copy())

    def chunk(self, observation, action, ids):
        self.observation = observation.copy()
        return action.view(-1, 4, 2)


def process_from(points, goals, horizon=6):
    """A process whose environments start where the test wants them."""
    env = PointEnv(len(points), task=replace(point_task(), horizon=horizon))
    process = DecisionProcess(env, PlainController())
    process.reset(seed=0)
    env._observation[:] = np.concatenate([np.array(points), np.array(goals)], axis=1)
    process._observation = env._observation.copy()
    process.seen = torch.from_numpy(env._observation.copy())
    return process


def right(rows, steps_right=4):
    """An action that moves to the right for some steps and then stays."""
    chunk = torch.zeros(rows, 4, 2)
    chunk[:, :steps_right, 0] = 1
    return chunk.view(rows, 8)


def test_an_episode_under_way_goes_on():
    process = process_from([[-0.9, 0]], [[0.9, 0]])
    decision = process.step(right(1))
    outcome = decision.outcome
    assert not outcome.ended.any()
    assert outcome.steps.tolist() == [4]
    np.testing.assert_allclose(decision.next_seen, [[-0.9 + 4 * STEP_LENGTH, 0, 0.9, 0]], atol=1e-6)
    np.testing.assert_array_equal(process.seen, decision.next_seen)


def test_success_inside_a_chunk_terminates_and_keeps_the_terminal_observation():
    process = process_from([[0, 0], [-0.9, 0.5]], [[2 * STEP_LENGTH, 0], [0.9, 0.5]])
    decision = process.step(right(2))
    outcome = decision.outcome
    assert outcome.success.tolist() == outcome.terminated.tolist() == [True, False]
    assert outcome.truncated.tolist() == [False, False]
    assert outcome.steps.tolist() == [2, 4]
    np.testing.assert_allclose(outcome.next_observation[0], [0.2, 0, 0.2, 0], atol=1e-6)
    # The next decision is taken in a new episode there, and in the old one here.
    np.testing.assert_array_equal(decision.next_seen, outcome.next_observation)
    assert (process.seen[0] - decision.next_seen[0]).abs().max() > 0.01
    assert torch.equal(process.seen[1], decision.next_seen[1])
    assert process.controller.begun == [0]


def test_the_time_limit_truncates_in_the_middle_of_a_chunk():
    process = process_from([[-0.9, 0]], [[0.9, 0.9]], horizon=6)
    process.step(right(1))
    outcome = process.step(right(1)).outcome
    assert outcome.truncated.tolist() == [True]
    assert outcome.terminated.tolist() == outcome.success.tolist() == [False]
    assert outcome.steps.tolist() == [2]
    np.testing.assert_allclose(outcome.next_observation, [[-0.9 + 6 * STEP_LENGTH, 0, 0.9, 0.9]], atol=1e-6)


def test_the_controller_decodes_on_what_the_agent_saw():
    process = process_from([[0, 0]], [[2 * STEP_LENGTH, 0]])
    process.step(right(1))
    seen = process.seen.clone()
    process.step(right(1))
    np.testing.assert_array_equal(process.controller.observation, seen)


def test_the_same_seed_gives_the_same_bits():
    def play(seed):
        process = DecisionProcess(PointEnv(5), PlainController())
        process.reset(seed)
        generator = torch.Generator().manual_seed(1)
        seen = []
        for _ in range(30):
            process.step(2 * torch.rand(5, 8, generator=generator) - 1)
            seen.append(process.seen)
        return torch.stack(seen)

    assert torch.equal(play(3), play(3))
    assert not torch.equal(play(3), play(4))
