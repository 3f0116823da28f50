"""The shared part: figures before learning, weights that reach model and starts, every weighting by its name."""

from dataclasses import replace
from typing import get_args

import pytest
import torch

from expertgen.dynamics.reports import geometric_mean, one_step_error
from expertgen.dynamics.termination import LearnedTermination
from expertgen.dynamics.transitions import Transitions
from expertgen.errors import TrainingError, UsageError
from expertgen.mbrl.run import make_parts
from expertgen.mbrl.weightings import WeightingName, squared_error
from expertgen.runs.progress import drain
from tests.mbrl.toy import EDGE, TASK, TINY, lost


def moves(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    point = 2 * torch.rand(rows, 2, generator=generator) - 1
    action = 2 * torch.rand(rows, 2, generator=generator) - 1
    after = point + 0.2 * action
    never = torch.zeros(rows, dtype=torch.bool)
    return Transitions(point, action, -after.norm(dim=1), after, lost(point, action, after), never)


def make_learner(tmp_path, **changes):
    agent, learner, _ = make_parts(TASK, replace(TINY, **changes), tmp_path)
    learner.add(moves(40), torch.arange(40) % 10 == 0)
    return agent, learner


def draw():
    return torch.Generator().manual_seed(0)


class Given:
    """A weighting with weights given beforehand."""

    name = "given"

    def __init__(self, weights):
        self.weights, self.health = weights, {}

    def fit(self, transitions, policy, start_observations):
        return self.weights

    def state(self):
        return {}

    def load_state(self, tensors, path):
        pass


@pytest.mark.parametrize("name", get_args(WeightingName))
def test_every_weighting_works_by_its_name(tmp_path, name):
    agent, learner = make_learner(tmp_path, weighting=name)
    for seed in (1, 2, 3):
        figures = drain(learner.refresh(agent.policy, draw()))
        assert float(learner.weights.mean()) == pytest.approx(1, abs=1e-4)
        assert figures["weights_largest"] >= 1 - 1e-6
        learner.add(moves(10, seed), torch.zeros(10, dtype=torch.bool))
    assert learner.weighting.name == {"vagram": "uniform"}.get(name, name)


def test_the_newest_data_are_measured_before_the_model_learns_them(tmp_path):
    agent, learner = make_learner(tmp_path)
    assert "error_newest" not in drain(learner.refresh(agent.policy, draw())), "there is no model yet"
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    newer = moves(12, seed=5)
    learner.add(newer, torch.zeros(12, dtype=torch.bool))
    figures = drain(learner.refresh(agent.policy, draw()))
    learner.model.load_state_dict(before)
    variance = torch.cat([newer.next_observation, newer.reward[:, None]], dim=1)
    all_rows = learner.buffer.all()
    change = all_rows.next_observation - all_rows.observation
    unit = torch.cat([change, all_rows.reward[:, None]], dim=1).var(dim=0, correction=0)
    state, reward = learner.model.expectation(newer.observation, newer.action, learner.model.elites)
    predicted = torch.cat([state.mean(dim=0), reward.mean(dim=0)[:, None]], dim=1)
    error = ((predicted - variance).square().mean(dim=0) / unit + 1e-6).log().mean().exp()
    assert figures["error_newest"] == pytest.approx(float(error), rel=1e-3)
    older = all_rows[torch.arange(len(all_rows) - 12)]
    held = older[learner.trainer.held_out(older)]
    assert 0 < len(held) < len(older)
    known = geometric_mean(one_step_error(learner.model, held, unit))
    assert figures["error_buffer"] == pytest.approx(known, rel=1e-3), "on what is never trained on"
    assert {"residual_newest", "coverage_newest", "residual_buffer", "coverage_buffer"} <= figures.keys()


def test_switches_decide_where_weights_count(tmp_path):
    weights = torch.zeros(40)
    weights[3] = 40.0
    weights[4:] = 1e-6
    agent, learner = make_learner(tmp_path)
    learner.weighting = Given(weights)
    learner.weight_model = False
    drain(learner.refresh(agent.policy, draw()))
    starts = learner.starts(50, draw())
    assert bool((starts == learner.buffer.all().observation[3]).all())
    learner.weight_starts = False
    assert len(learner.starts(80, draw()).unique(dim=0)) == 40


@pytest.mark.parametrize("weight_model", [True, False])
def test_ones_train_the_same_model_as_no_weights(tmp_path, weight_model):
    models = []
    for given in (None, torch.ones(40)):
        agent, learner = make_learner(tmp_path)
        if given is not None:
            learner.weighting, learner.weight_model = Given(given), weight_model
        drain(learner.refresh(agent.policy, draw()))
        models.append(learner.model.state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (torch.full((40,), -1.0), "the given weighting gave transition 0 a negative weight"),
        (torch.full((40,), float("nan")), "the given weighting gave transition 0 a weight that is not finite"),
        (torch.ones(7), r"the given weighting gave weights of shape \[7\] for 40 transitions"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(tmp_path, weights, said):
    agent, learner = make_learner(tmp_path)
    learner.weighting = Given(weights)
    with pytest.raises(UsageError, match=said) as caught:
        drain(learner.refresh(agent.policy, draw()))
    assert "\n" not in str(caught.value)


def test_a_rule_that_disagrees_with_the_simulator_stops_and_names_the_state(tmp_path):
    _, learner = make_learner(tmp_path)
    learner.check(40)
    point = torch.tensor([[EDGE - 0.3, 0.0]])
    ended = Transitions(point, 0 * point, torch.zeros(1), point, torch.tensor([True]), torch.tensor([False]))
    learner.add(ended, torch.tensor([True]))
    with pytest.raises(TrainingError, match=r"goes on at the state \[0\.9, 0\]"):
        learner.check(1)


def test_a_learned_termination_learns_with_the_model_and_is_saved(tmp_path):
    agent, learner = make_learner(tmp_path, termination="learned")
    learner.add(moves(400, seed=2), torch.zeros(400, dtype=torch.bool))
    drain(learner.refresh(agent.policy, draw()))
    assert isinstance(learner.termination, LearnedTermination)
    test = moves(300, seed=3)
    said = learner.termination(test.observation, test.action, test.next_observation)
    assert float((said == test.terminated).float().mean()) > 0.97
    _, other = make_learner(tmp_path, termination="learned")
    other.load_state(learner.state(), tmp_path)
    assert torch.equal(other.termination(test.observation, test.action, test.next_observation), said)


def test_squared_error_by_hand(tmp_path):
    agent, learner = make_learner(tmp_path)
    drain(learner.refresh(agent.policy, draw()))
    rows = moves(5, seed=8)
    members = [learner.model.mean(learner.model(rows.observation, rows.action))[i] for i in learner.model.elites]
    expected = (torch.stack(members).mean(dim=0) - learner.model.target(rows)).square().mean(dim=1)
    torch.testing.assert_close(squared_error(learner.model, rows), expected.detach())
