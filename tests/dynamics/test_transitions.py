"""Transitions and their buffer: order, views, what is dropped, and what a checkpoint holds."""

from pathlib import Path

import pytest
import torch

from expertgen.dynamics.transitions import TransitionBuffer, Transitions
from expertgen.errors import FileError, UsageError


def numbered(begin: int, end: int) -> Transitions:
    x = torch.arange(begin, end).float()
    return Transitions(x[:, None].repeat(1, 2), x[:, None], x, x[:, None].repeat(1, 2) + 1, x % 3 == 0, x % 5 == 0)


def no_first(rows: int) -> torch.Tensor:
    return torch.zeros(rows, dtype=torch.bool)


def rewards(transitions: Transitions) -> list[float]:
    return transitions.reward.tolist()


def test_an_index_per_member_gives_rows_per_member():
    rows = numbered(0, 10)[torch.tensor([[1, 2, 2], [9, 0, 3]])]
    assert rows.observation.shape == (2, 3, 2)
    assert rows.reward.tolist() == [[1, 2, 2], [9, 0, 3]]
    assert rows.terminated.tolist() == [[False, False, False], [True, True, True]]
    assert len(rows) == 2


def test_rows_stay_in_order_and_the_oldest_are_dropped():
    buffer = TransitionBuffer(7, 2, 1)
    assert len(buffer) == 0
    assert len(buffer.all()) == 0
    expected: list[float] = []
    position = 0
    for count in (2, 3, 1, 4, 0, 5, 9, 1, 1, 1, 1, 1, 1, 1, 1):
        buffer.add(numbered(position, position + count), no_first(count))
        position += count
        expected = [float(x) for x in range(max(0, position - 7), position)]
        assert rewards(buffer.all()) == expected
        assert rewards(buffer.newest(3)) == expected[-3:]
        assert len(buffer) == len(expected)
    assert rewards(buffer.newest(100)) == expected
    assert torch.equal(buffer.all().next_observation, buffer.all().observation + 1)


def test_all_is_a_view_that_keeps_its_values():
    buffer = TransitionBuffer(4, 2, 1)
    buffer.add(numbered(0, 4), no_first(4))
    view = buffer.all()
    assert view.observation.data_ptr() == buffer.all().observation.data_ptr()
    for position in range(4, 40):
        buffer.add(numbered(position, position + 1), no_first(1))
    assert rewards(view) == [0, 1, 2, 3]


def test_starts_are_the_first_observations_still_held():
    buffer = TransitionBuffer(5, 2, 1)
    buffer.add(numbered(0, 4), torch.tensor([True, False, True, False]))
    assert buffer.starts().tolist() == [[0, 0], [2, 2]]
    buffer.add(numbered(4, 7), torch.tensor([False, True, False]))
    assert buffer.starts().tolist() == [[2, 2], [5, 5]]


def test_a_checkpoint_holds_everything():
    buffer, other = TransitionBuffer(5, 2, 1), TransitionBuffer(5, 2, 1)
    buffer.add(numbered(0, 8), torch.arange(8) % 2 == 0)
    other.load_state({name: tensor.clone() for name, tensor in buffer.state().items()}, Path("state"))
    for b in (buffer, other):
        b.add(numbered(8, 10), no_first(2))
    for name, tensor in buffer.state().items():
        assert torch.equal(tensor, other.state()[name])
    assert torch.equal(buffer.starts(), other.starts())


def test_impossible_requests_are_refused():
    with pytest.raises(UsageError, match="capacity of a buffer must be at least 1, not 0"):
        TransitionBuffer(0, 2, 1)
    buffer = TransitionBuffer(5, 2, 1)
    with pytest.raises(FileError, match=r"^file: .*'action'"):
        buffer.load_state(TransitionBuffer(5, 2, 3).state(), Path("file"))
