"""Uniform, recency, PMER, PDML, the discriminator alone and TOM: by hand, their contract, and their bits."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting import tom
from expertgen.dynamics.weighting.check import checked
from expertgen.dynamics.weighting.density_ratio import DensityRatio, DensityRatioConfig, NewestRatio
from expertgen.dynamics.weighting.discriminator import Discriminator
from expertgen.dynamics.weighting.interface import Limits, weight_health
from expertgen.dynamics.weighting.occupancy import OccupancyConfig, OccupancyMatching
from expertgen.dynamics.weighting.pdml import Pdml, block_weights, policy_distance
from expertgen.dynamics.weighting.pmer import Pmer
from expertgen.dynamics.weighting.recency import Recency
from expertgen.dynamics.weighting.uniform import Uniform
from expertgen.errors import UsageError
from tests.dynamics.weighting.toys import LinearPolicy, gaussian_stream, transitions

POLICY = LinearPolicy(actions=2)
START = torch.randn(20, 3, generator=torch.Generator().manual_seed(5))
RATIO = DensityRatioConfig(newest=50, steps=10, batch_size=32, width=16)
MATCHING = OccupancyConfig(steps=10, batch_size=32, width=16)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def matching(config=MATCHING, limits=None, ratio=None, seed=0):
    stream = generator(seed)
    return OccupancyMatching(
        3, 2, config, ratio or DensityRatio(3, 2, RATIO, stream), stream, limits or Limits(mix=1.0)
    )


VARIANTS = [
    replace(MATCHING, divergence=divergence, conjugate=conjugate, multiplier=multiplier, slope_penalty=penalty)
    for divergence, conjugate, multiplier, penalty in [
        ("kl", "exact", "action", 0.0),
        ("kl", "exact", "state", 0.1),
        ("chi2", "exact", "action", 0.1),
        ("chi2", "quadratic", "action", 0.0),
        ("chi2", "quadratic", "state", 0.0),
    ]
]
VARIANTS.append(replace(MATCHING, truncation="continue"))
MAKERS = {
    "uniform": lambda: Uniform(),
    "recency": lambda: Recency(30.0),
    "pmer": lambda: Pmer(lambda rows: rows.reward.square()),
    "pdml": lambda: Pdml(generator(), states=16),
    "discriminator": lambda: Discriminator(DensityRatio(3, 2, RATIO, generator())),
    "newest": lambda: matching(ratio=NewestRatio(50)),
    **{f"tom{index}": lambda config=config: matching(config) for index, config in enumerate(VARIANTS)},
}


@pytest.mark.parametrize("name", MAKERS)
def test_contract(name):
    weighting = MAKERS[name]()
    for rows in (150, 200, 260):  # a growing buffer and a changing policy
        weights = weighting.fit(transitions(rows), LinearPolicy(bias=rows / 200, actions=2), START)
        assert weights.dtype == torch.float32
        assert float(weights.mean()) == pytest.approx(1, abs=1e-5)
        assert float(weights.max()) <= 10 or name == "pdml"
        assert torch.equal(checked(weights, rows, weighting.name), weights)
        expected = weight_health(weights, weighting.health["raw_mean"])
        assert expected.items() <= weighting.health.items()
        assert all(math.isfinite(value) for value in weighting.health.values())
        assert not weights.requires_grad


@pytest.mark.parametrize("name", MAKERS)
def test_same_seed_same_bits_saved_or_not(name):
    first, second = transitions(150), transitions(200)
    whole, again = MAKERS[name](), MAKERS[name]()
    for weighting in (whole, again):
        weighting.fit(first, POLICY, START)
    moved = LinearPolicy(bias=0.5, actions=2)
    state = {key: value.clone() for key, value in whole.state().items()}
    stream = getattr(whole, "generator", None) or getattr(getattr(whole, "ratio", None), "generator", None)
    position = stream.get_state() if stream else None
    weights = whole.fit(second, moved, START)
    assert torch.equal(weights, again.fit(second, moved, START))
    resumed = MAKERS[name]()
    resumed.load_state(state, Path("x"))
    if position is not None:
        (getattr(resumed, "generator", None) or resumed.ratio.generator).set_state(position)
    assert torch.equal(weights, resumed.fit(second, moved, START))
    assert resumed.health == whole.health


def test_uniform():
    assert torch.equal(Uniform().fit(transitions(5), POLICY, START), torch.ones(5))


def test_recency_by_hand():
    # Halving with each row of age: 1, 2, 4 of mean 7/3.
    weights = Recency(1 / math.log(2)).fit(transitions(3), POLICY, START)
    assert weights.tolist() == pytest.approx([3 / 7, 6 / 7, 12 / 7])


def test_pmer_by_hand():
    errors = torch.tensor([0.0, 1, 1, 2])
    weights = Pmer(lambda _: errors, limits=Limits(mix=1.0)).fit(transitions(4), POLICY, START)
    assert weights.tolist() == pytest.approx([0, 1, 1, 2])
    weights = Pmer(lambda _: errors, limits=Limits(mix=0.5)).fit(transitions(4), POLICY, START)
    assert weights.tolist() == pytest.approx([0.5, 1, 1, 1.5])
    weights = Pmer(lambda _: errors.square(), 0.5, Limits(mix=1.0)).fit(transitions(4), POLICY, START)
    assert weights.tolist() == pytest.approx([0, 1, 1, 2])
    # Bounded by 1.5: the half that is cut off goes to the other three.
    weights = Pmer(lambda _: errors, limits=Limits(1.5, 1.0)).fit(transitions(4), POLICY, START)
    assert weights.tolist() == pytest.approx([1 / 6, 7 / 6, 7 / 6, 1.5])


def test_a_perfect_model_makes_pmer_uniform_and_a_broken_one_is_refused():
    assert torch.equal(Pmer(lambda _: torch.zeros(4)).fit(transitions(4), POLICY, START), torch.ones(4))
    with pytest.raises(UsageError, match=r"the pmer weighting gave transition 0 a weight that is not finite: nan"):
        Pmer(lambda _: torch.tensor([1.0, math.nan])).fit(transitions(2), POLICY, START)


def test_policy_distance_by_hand_and_against_torch():
    past = (torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 1.0]]).log())
    present = (torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 1.0]]).log())
    # KL(present || past) = ln 2 - ½ + ½ (¼ + 4/4) in the first dimension, 0 in the second.
    assert float(policy_distance(past, present)) == pytest.approx(math.sqrt((math.log(2) + 0.125) / 2))
    past, present = ((torch.randn(50, 3), 0.3 * torch.randn(50, 3)) for _ in range(2))
    normals = [torch.distributions.Normal(mean, log.exp()) for mean, log in (present, past)]
    kl = torch.distributions.kl_divergence(*normals).sum(dim=1)
    torch.testing.assert_close(policy_distance(past, present), (kl / 2).sqrt().mean())
    assert float(policy_distance(past, past)) == pytest.approx(0, abs=1e-3)


def test_block_weights_by_hand():
    # Distances .5 and .25 give 1/3 and 2/3; the warm-up has a twentieth of the first; the newest as much as the best.
    weights = block_weights(torch.tensor([0.5, 0.25]), [10, 5, 5, 5], 0.02)
    assert weights.tolist() == pytest.approx([1 / 60, 1 / 3, 2 / 3, 2 / 3])
    # A share of .8: four times the older weight, 10/60 + 5/3 + 10/3 = 31/6, over 5 transitions.
    weights = block_weights(torch.tensor([0.5, 0.25]), [10, 5, 5, 5], 0.8)
    assert float(weights[-1]) == pytest.approx(4 * 31 / 6 / 5)


def test_pdml_weighs_blocks_by_the_policy_at_their_end():
    weighting = Pdml(generator(), states=64)
    for rows, bias in ((40, 0.0), (50, 1.0), (60, 0.2)):
        policy = LinearPolicy(bias=bias, actions=2)
        weights = weighting.fit(transitions(rows), policy, START)
    weights = weighting.fit(transitions(75), LinearPolicy(actions=2), START)
    values = [float(weights[row]) for row in (0, 40, 50, 60)]
    assert weights.unique().tolist() == pytest.approx(sorted({*values}))
    # Means 1 and .2 away: distances 5 : 1, so weights 1 : 5.
    assert values[2] / values[1] == pytest.approx(5, rel=1e-4)
    assert values[0] / values[1] == pytest.approx(0.05, rel=1e-4)
    assert values[3] == pytest.approx(values[2])


def test_pdml_needs_new_rows_and_a_module(wrong_types):
    weighting = Pdml(generator())
    weighting.fit(transitions(10), POLICY, START)
    with pytest.raises(UsageError, match=r"knows 10 transitions, and the buffer has 10: it needs new ones"):
        weighting.fit(transitions(10), POLICY, START)
    with pytest.raises(UsageError, match=r"must be a torch module"):
        weighting.fit(transitions(20), object(), START)


@pytest.mark.parametrize("divergence", ["kl", "chi2"])
def test_no_mixing_is_uniform_bit_for_bit(divergence):
    weights = matching(replace(MATCHING, divergence=divergence), Limits(mix=0.0)).fit(transitions(200), POLICY, START)
    assert torch.equal(weights, torch.ones(200))


def test_a_small_bound_holds_after_everything():
    weights = matching(replace(MATCHING, steps=100), Limits(1.5, 1.0)).fit(transitions(200), POLICY, START)
    assert float(weights.max()) <= 1.5
    assert float(weights.mean()) == pytest.approx(1, abs=1e-6)


def test_actions_are_drawn_afresh():
    class Counting(LinearPolicy):
        drawn = ()

        def sample(self, observation, generator):
            action = super().sample(observation, generator)
            self.drawn += (action,)
            return action

    policy = Counting(actions=2)
    matching(ratio=NewestRatio()).fit(transitions(64), policy, START)
    # Start states and next states of 10 steps, then of the evaluation.
    assert [len(action) for action in policy.drawn] == [64] * 10 + [4096, 64]
    assert len({float(action[0, 0]) for action in policy.drawn}) == 12


@pytest.fixture(scope="module")
def known_ratio():
    """A stream with its exact log-ratio, and a discriminator that has been fitted to it."""
    data, policy, start, truth = gaussian_stream(0)
    config = DensityRatioConfig(newest=1000, steps=300, width=32, learning_rate=3e-3)
    ratio = DensityRatio(1, 1, config, generator())
    ratio.fit(data)
    ratio.fit = lambda transitions: None
    return data, policy, start, truth, ratio


# χ² compresses, and gives weight 0 where the ratio is small: it is measured where it does not, and reaches less.
@pytest.mark.parametrize(
    ("divergence", "conjugate", "least"),
    [("kl", "exact", 0.97), ("chi2", "exact", 0.85), ("chi2", "quadratic", 0.8)],
)
def test_a_known_ratio(known_ratio, divergence, conjugate, least):
    data, policy, start, truth, ratio = known_ratio
    config = OccupancyConfig(divergence, conjugate, steps=120, width=32, learning_rate=1e-3)
    weights = OccupancyMatching(1, 1, config, ratio, generator(), Limits(mix=1.0)).fit(data, policy, start)
    kept = weights > 0
    correlation = float(torch.corrcoef(torch.stack([weights[kept].log(), truth[kept]]))[0, 1])
    print(f"{divergence} {conjugate}: correlation {correlation:.4f} on a share of {float(kept.float().mean()):.2f}")
    assert correlation > least
    assert float(tom.effective_sample_size(weights)) > 0.4


class NoRatio(NewestRatio):
    """All data are the policy's own."""

    def log_ratio(self, transitions):
        return torch.zeros(len(transitions))


def test_data_of_the_policy_itself_keep_their_weights_although_time_limits_cut_them():
    time = torch.arange(10.0).repeat(100)[:, None]
    cut = (time == 9).squeeze(1)
    rows = Transitions(time, torch.zeros(1000, 1), torch.zeros(1000), time + 1, torch.zeros_like(cut), cut)
    deviation = {}
    for truncation in ("regenerate", "continue"):
        config = OccupancyConfig(multiplier="state", truncation=truncation, steps=300, width=32, learning_rate=3e-3)
        weighting = OccupancyMatching(1, 1, config, NoRatio(), generator(), Limits(mix=1.0))
        deviation[truncation] = float(weighting.fit(rows, LinearPolicy(), torch.zeros(1, 1)).std())
    assert deviation["regenerate"] < 0.05
    assert deviation["continue"] > 0.5


def test_health_by_hand():
    weights = torch.tensor([0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 1, 3])
    assert weight_health(weights, 0.7) == pytest.approx(
        {"raw_mean": 0.7, "effective_sample_size": 400 / 20 / 42, "largest": 3.0, "zeros": 0.5}
        | {f"age_{age}": 2.0 if age <= 5 else 0.0 for age in range(1, 11)}
    )


@pytest.mark.parametrize("rows", [1, 3, 9, 10, 11, 25])
def test_weights_by_age_run_from_the_newest_to_the_oldest_whatever_the_number_of_rows(rows):
    health = weight_health(torch.arange(rows, dtype=torch.float32))
    ages = [health[f"age_{age}"] for age in range(1, 11)]
    assert ages == sorted(ages, reverse=True)
    share = max(rows // 10, 1)
    assert ages[0] == pytest.approx(rows - 1 - (share - 1) / 2, abs=0.5)
    assert ages[-1] == pytest.approx((share - 1) / 2, abs=0.5)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 1.0], r"the mine weighting gave weights of shape \[2\] for 3 transitions"),
        ([1.0, math.nan, 1.0], r"the mine weighting gave transition 1 a weight that is not finite: nan"),
        ([1.0, 1.0, math.inf], r"transition 2 a weight that is not finite: inf"),
        ([1.0, -0.25, 1.0], r"the mine weighting gave transition 1 a negative weight: -0\.25"),
        ([0.0, 0.0, 0.0], r"the mine weighting gave all 3 transitions the weight 0"),
    ],
)
def test_wrong_weights_are_refused_by_name(weights, message):
    with pytest.raises(UsageError, match=message) as caught:
        checked(torch.tensor(weights), 3, "mine")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Limits(largest=0.5), r"limits\.largest must be at least 1"),
        (lambda: Limits(mix=1.5), r"limits\.mix must lie in \[0, 1\]"),
        (lambda: Recency(0.0), r"recency\.scale must be positive"),
        (lambda: Pmer(lambda rows: rows.reward, -1.0), r"pmer\.exponent must not be negative"),
        (lambda: Pdml(generator(), 0), r"pdml\.states must be at least 1"),
        (lambda: Pdml(generator(), newest_share=1.0), r"pdml\.newest_share must lie in \[0, 1\)"),
        (lambda: OccupancyConfig(discount=1.0), r"tom\.discount must lie in \[0, 1\)"),
        (lambda: OccupancyConfig(steps=0), r"tom\.steps must be at least 1"),
        (lambda: OccupancyConfig(learning_rate=0.0), r"tom\.learning_rate must be positive"),
        (lambda: OccupancyConfig(slope_penalty=-1.0), r"tom\.slope_penalty must not be negative"),
    ],
)
def test_impossible_options_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()
