"""The planner: better than chance on a toy it knows, its value counts, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from expertgen.dynamics.termination import never
from expertgen.errors import UsageError
from expertgen.mbrl.episodes import play_returns
from expertgen.mbrl.planner import Planner, PlannerConfig
from tests.mbrl.toy import SPEED, TASK, Exact, HoldEnv, Towards, lost

CONFIG = PlannerConfig(horizon=3, candidates=64, elites=16, iterations=3, proposals=0)


def planner(config=CONFIG, model=None, termination=lost, **options):
    generator = torch.Generator().manual_seed(0)
    return Planner(model or Exact(), termination, config, 2, lambda: 0.9, generator, **options)


def test_it_beats_chance_and_comes_near_the_best_on_a_world_it_knows():
    class Chance:
        generator = torch.Generator().manual_seed(0)

        def act(self, observation, deterministic=False):
            return 2 * torch.rand(len(observation), 2, generator=self.generator) - 1

    class Best(Chance):
        def act(self, observation, deterministic=False):
            return (-observation / SPEED).clamp(-1, 1)

    chance, best, planned = (
        float(play_returns(HoldEnv(TASK, 16), a, 0, "cpu")[0].mean()) for a in (Chance(), Best(), planner())
    )
    assert planned > best - 0.15 * (best - chance)


def test_the_value_is_what_it_plans_for_beyond_its_horizon():
    config = replace(CONFIG, horizon=1)
    far = planner(config, value=lambda state: 100 * state[:, 0])
    assert bool((far.act(torch.zeros(3, 2), deterministic=True)[:, 0] > 0.8).all())
    # A plan that ends the episode gets no value: from 1.1 on, only steps below .1 / .2 stay inside.
    action = far.act(torch.tensor([[1.1, 0.0]]), deterministic=True)
    assert 0.2 < float(action[0, 0]) < 0.5


def test_proposals_of_the_policy_are_among_the_plans():
    model = Exact()
    # With one proposal, one elite and one iteration, only a proposal that is perfect is taken as it is.
    config = PlannerConfig(horizon=1, candidates=4, proposals=2, elites=1, iterations=1)
    proposing = planner(config, model, never, policy=Towards(-0.31, 0.17))
    action = proposing.act(torch.tensor([[0.062, -0.034]]), deterministic=True)
    torch.testing.assert_close(action, torch.tensor([[-0.31, 0.17]]))


def test_exploring_adds_the_spread_of_the_plans_and_stays_in_range():
    acting = planner()
    state = torch.zeros(8, 2)
    assert not torch.equal(acting.act(state), acting.act(state))
    assert bool((acting.act(torch.full((8, 2), 1.0)).abs() <= 1).all())


def test_the_same_seed_gives_the_same_bits():
    state = torch.rand(4, 2)
    assert torch.equal(planner().act(state), planner().act(state))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, r"planner\.horizon must be at least 1, not 0"),
        ({"candidates": 0}, r"planner\.candidates must be at least 1"),
        ({"proposals": 65}, r"planner\.proposals must lie between 0 and planner\.candidates \(64\), not 65"),
        ({"elites": 65}, r"planner\.elites must be at most planner\.candidates"),
        ({"temperature": 0.0}, r"planner\.temperature must be positive"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        replace(CONFIG, **changes)
    assert "\n" not in str(caught.value)
