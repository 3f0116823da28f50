"""Demonstrations as experience: where they are cut, by hand, and what a replay makes of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from expertgen.demos.store import Demo, DemoSet
from expertgen.errors import UsageError
from expertgen.rl.demonstrations import demo_decisions, replay_of

FIELDS = (("x", 0, 1),)


def demo(first, steps, success=True):
    """Observations first, first + 1, ...; actions a hundredth of them."""
    values = first + np.arange(steps, dtype=np.float32)[:, None]
    return Demo(values, values / 100, np.zeros(steps, np.float32), success, 0, "test")


def test_every_step_of_an_episode_begins_a_decision_and_its_end_is_padded():
    demos = DemoSet("toy", FIELDS, (demo(0, 5), demo(50, 9, success=False), demo(20, 4)))
    decisions = demo_decisions(demos, chunk_length=2)
    assert decisions.observation[:, 0].tolist() == [0, 2, 4, 1, 3, 20, 22, 21, 23]
    expected = [[0, 1], [2, 3], [4, 4], [1, 2], [3, 4], [20, 21], [22, 23], [21, 22], [23, 23]]
    torch.testing.assert_close(decisions.chunk[:, :, 0] * 100, torch.tensor(expected, dtype=torch.float32))
    assert decisions.observation[decisions.last, 0].tolist() == [4, 3, 22, 23]


def test_an_episode_shorter_than_a_chunk_has_a_decision_for_each_step():
    decisions = demo_decisions(DemoSet("toy", FIELDS, (demo(0, 2),)), chunk_length=4)
    assert decisions.observation[:, 0].tolist() == [0, 1]
    assert decisions.last.tolist() == [True, True]


def test_the_replay_rewards_the_last_decision_of_each():
    decisions = demo_decisions(DemoSet("toy", FIELDS, (demo(0, 5), demo(20, 4))), chunk_length=2)
    replay = replay_of(decisions.observation, decisions.chunk.flatten(1), decisions.last)
    batch = replay.sample(200, 2, 0.5, torch.Generator().manual_seed(0))
    columns = (batch.observation[:, 0], batch.reward, batch.discount)
    found = {start: rest for start, *rest in zip(*(column.tolist() for column in columns), strict=True)}
    # Two decisions ahead: the first of three sees no success yet, the others do, and nothing follows it.
    ahead = {0: [0, 0.25], 2: [0.5, 0], 4: [1, 0], 20: [0.5, 0], 22: [1, 0]}
    assert found == ahead | {1: [0.5, 0], 3: [1, 0], 21: [0.5, 0], 23: [1, 0]}
    assert batch.next_observation[batch.observation[:, 0] == 0].unique().tolist() == [4]
    assert len(replay.successes()) == 9


def test_without_a_success_there_is_nothing_to_learn_from():
    with pytest.raises(UsageError, match=r"no demonstration of 'toy' succeeds.*set the method's demo_share to 0"):
        demo_decisions(DemoSet("toy", FIELDS, (replace(demo(0, 5), success=False),)), 2)
