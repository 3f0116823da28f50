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


def test_every_episode_is_cut_from_its_start_and_padded_at_its_end():
    demos = DemoSet("toy", FIELDS, (demo(0, 5), demo(50, 9, success=False), demo(20, 4)))
    decisions = demo_decisions(demos, chunk_length=2)
    assert decisions.observation[:, 0].tolist() == [0, 2, 4, 20, 22]
    expected = [[0, 1], [2, 3], [4, 4], [20, 21], [22, 23]]
    torch.testing.assert_close(decisions.chunk[:, :, 0] * 100, torch.tensor(expected, dtype=torch.float32))
    assert decisions.last.tolist() == [False, False, True, False, True]


def test_the_replay_rewards_the_last_decision_of_each():
    decisions = demo_decisions(DemoSet("toy", FIELDS, (demo(0, 5), demo(20, 4))), chunk_length=2)
    replay = replay_of(decisions.observation, decisions.chunk.flatten(1), decisions.last)
    batch = replay.sample(200, 2, 0.5, torch.Generator().manual_seed(0))
    columns = (batch.observation[:, 0], batch.reward, batch.discount)
    found = {start: rest for start, *rest in zip(*(column.tolist() for column in columns), strict=True)}
    # Two decisions ahead: the first of three sees no success yet, the others do, and nothing follows it.
    assert found == {0: [0, 0.25], 2: [0.5, 0], 4: [1, 0], 20: [0.5, 0], 22: [1, 0]}
    assert batch.next_observation[batch.observation[:, 0] == 0].unique().tolist() == [4]
    assert len(replay.successes()) == 5


def test_without_a_success_there_is_nothing_to_learn_from():
    with pytest.raises(UsageError, match=r"no demonstration of 'toy' succeeds.*set the method's demo_share to 0"):
        demo_decisions(DemoSet("toy", FIELDS, (replace(demo(0, 5), success=False),)), 2)
