"""Termination rules against the simulator, on states of random play; the check that names a state; a learned rule."""

from dataclasses import replace

import pytest
import torch

from expertgen.dynamics.termination import (
    TERMINATIONS,
    LearnedTermination,
    check_termination,
    hopper,
    inverted_double_pendulum,
    never,
    termination_of,
)
from expertgen.dynamics.transitions import Transitions
from expertgen.errors import TrainingError, UsageError
from expertgen.tasks.envpool_specs import locomotion_tasks
from expertgen.tasks.registry import get_task
from tests.dynamics.toys import join, simulated, toy

ENDS = ("hopper", "walker2d", "ant", "humanoid", "inverted-double-pendulum")


def flags(transitions: Transitions, terminated: torch.Tensor) -> Transitions:
    return replace(transitions, terminated=terminated)


@pytest.mark.parametrize("task", [task.id for task in locomotion_tasks() if not task.truncated_observation])
def test_rules_agree_with_the_simulator(task):
    # Full actions and small ones: with these, bodies stay up longer, and fall more slowly through the bounds.
    steps = 100
    data = join(simulated(task, steps, seed=1), simulated(task, steps, seed=2, scale=0.2))
    assert len(data) == 3200
    check_termination(termination_of(task), data)
    assert bool(data.terminated.any()) == (task in ENDS)
    assert not data.terminated.all()
    if task in ("reacher", "pusher"):
        assert data.truncated.any()


def test_every_locomotion_task_has_a_rule():
    assert set(TERMINATIONS) == {task.id for task in locomotion_tasks()}
    with pytest.raises(UsageError, match=r"no termination rule for task 'hoper'; did you mean 'hopper'.*learn one"):
        termination_of("hoper")


def test_pendulum_by_hand():
    # Both poles upright: 1.2 m. The lower at 60°, the upper straight on: 0.6. Lower at 45°, upper upright: 1.02 m.
    angles = torch.tensor([[0.0, 0.0], [torch.pi / 3, 0.0], [torch.pi / 4, -torch.pi / 4]])
    state = torch.cat([torch.zeros(3, 1), angles.sin(), angles.cos(), torch.zeros(3, 4)], dim=1)
    assert inverted_double_pendulum(state, state[:, :1], state).tolist() == [False, True, False]


def test_rules_take_any_leading_dimensions():
    state = torch.zeros(2, 3, 11)
    state[..., 0] = 1.2
    state[1, 2, 0] = 0.6
    state[0, 1, 5] = -101
    expected = [[False, True, False], [False, False, True]]
    assert hopper(state, torch.zeros(2, 3, 3), state).tolist() == expected
    assert never(state, torch.zeros(2, 3, 3), state).shape == (2, 3)
    state[0, 0, 7] = float("nan")
    assert hopper(state, torch.zeros(2, 3, 3), state)[0, 0]


def test_a_disagreement_is_named_by_its_state():
    data = toy(5, 0)
    data.next_observation[3] = torch.tensor([0.25, -4.0])
    with pytest.raises(TrainingError, match=r"transition 3 and 1 more: .*goes on at the state \[0.25, -4\]; correct"):
        check_termination(never, flags(data, torch.tensor([False, False, False, True, True])))
    with pytest.raises(TrainingError, match="the episode ends at the state"):
        check_termination(lambda o, a, n: ~never(o, a, n), data)


def test_states_within_rounding_of_a_bound_may_fall_on_either_side():
    data = toy(2, 0)
    data.next_observation[:, 0] = torch.tensor([0.999999, 0.999])
    rule = lambda o, a, n: n[..., 0] < 1  # noqa: E731
    check_termination(rule, flags(data, torch.tensor([False, True])))
    with pytest.raises(TrainingError, match="transition 1 and 0 more"):
        check_termination(rule, flags(data, torch.tensor([False, False])))


def test_a_learned_rule_finds_rare_ends():
    def data(rows, seed):
        transitions = toy(rows, seed)
        return flags(transitions, transitions.next_observation[:, 0] > 1.1)

    torch.manual_seed(0)
    rule, train, test = LearnedTermination(2, 1), data(4000, 0), data(2000, 1)
    assert 0.02 < float(train.terminated.float().mean()) < 0.1
    rule.fit(train, torch.Generator().manual_seed(0), steps=300)
    said = rule(test.observation, test.action, test.next_observation)
    clear = (test.next_observation[:, 0] - 1.1).abs() > 0.03
    assert (said == test.terminated)[clear].float().mean() > 0.998
    assert (said == test.terminated).float().mean() > 0.99


@pytest.mark.parametrize("end", [False, True])
def test_a_rule_learned_from_one_outcome_always_says_it(end):
    data, rule = toy(50, 0), LearnedTermination(2, 1)
    rule.fit(flags(data, torch.full((50,), end)), torch.Generator())
    assert (rule(data.observation, data.action, data.next_observation) == end).all()


def test_a_rule_that_never_learned_says_that_it_goes_on():
    data = toy(5, 0)
    assert not LearnedTermination(2, 1)(data.observation, data.action, data.next_observation).any()


@pytest.mark.parametrize(("truncated", "whole"), [("ant-truncated", "ant"), ("humanoid-truncated", "humanoid")])
def test_truncated_tasks_are_the_first_columns_of_the_same_simulation(truncated, whole):
    short, full = simulated(truncated, 20, num_envs=4), simulated(whole, 20, num_envs=4)
    columns = get_task(truncated).observation_size
    assert columns == {"ant-truncated": 27, "humanoid-truncated": 45}[truncated]
    assert torch.equal(short.next_observation, full.next_observation[:, :columns])
    assert torch.equal(short.reward, full.reward)
    assert torch.equal(short.terminated, full.terminated)
    check_termination(termination_of(truncated), short)
