"""Training: weights in all their forms, holdout, early stopping, calibration, determinism, broken losses."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expertgen.dynamics import training
from expertgen.dynamics.ensemble import DeterministicEnsemble, GaussianEnsemble
from expertgen.dynamics.mixture import MixtureEnsemble
from expertgen.dynamics.model import ModelConfig
from expertgen.dynamics.training import (
    Best,
    ModelTrainer,
    ModelTrainingConfig,
    bootstrap_counts,
    draw_rows,
    holdout_error,
    row_uniforms,
    shorten_gradients,
)
from expertgen.errors import FileError, TrainingError, UsageError
from expertgen.runs.checkpoint import load_checkpoint
from expertgen.runs.progress import drain
from tests.dynamics.toys import join, toy

TINY = ModelConfig(members=3, elites=2, width=16, depth=2)
QUICK = ModelTrainingConfig(batch_size=32, min_epoch_steps=10, max_steps=30)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(kind=GaussianEnsemble, config=QUICK, sizes=TINY):
    torch.manual_seed(0)
    return ModelTrainer(kind(2, 1, sizes), config, seed=0)


def trained(data, weights=None, config=QUICK, kind=GaussianEnsemble, objective=None, folder=Path()):
    trainer = made(kind, config)
    numbers = drain(trainer.train(data, generator(), folder, weights, objective))
    return trainer.state() | {name: torch.tensor(value) for name, value in numbers.items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def held_out(data):
    return row_uniforms(data, 0, 1)[0] < QUICK.holdout


def test_numbers_of_rows_are_uniform_and_belong_to_the_row():
    data = toy(5000, 0)
    uniform = row_uniforms(data, 0, 3)
    assert ((uniform >= 0) & (uniform < 1)).all()
    for u in uniform:
        ranks = u.sort().values - torch.arange(5000) / 5000
        assert float(ranks.abs().max()) < 1.63 / 5000**0.5, "Kolmogorov-Smirnov at 1 %"
    assert float(torch.corrcoef(uniform).fill_diagonal_(0).abs().max()) < 0.05
    order = torch.randperm(5000, generator=generator())
    assert torch.equal(row_uniforms(data[order], 0, 3), uniform[:, order])
    assert not torch.equal(row_uniforms(data, 1, 3), uniform)


def test_bootstrap_counts_are_poisson_and_differ_between_members():
    counts = bootstrap_counts(toy(20000, 0), 0, 2)
    for k, share in enumerate((0.3679, 0.3679, 0.1839, 0.0613)):
        assert float((counts == k).float().mean()) == pytest.approx(share, abs=0.01)
    assert abs(float(torch.corrcoef(counts)[0, 1])) < 0.05


def test_rows_are_drawn_in_proportion_to_weights_up_to_one():
    weights = torch.tensor([[1.0, 0.0, 3.0, 0.5, 0.0], [0.0, 1.0, 1.0, 1.0, 0.0]]).double()
    rows = draw_rows(weights.cumsum(1), 900, generator())
    assert rows.shape == (2, 900)
    for member in range(2):
        counts = torch.bincount(rows[member], minlength=5)
        assert ((counts - 900 * weights[member] / weights[member].sum()).abs() <= 1).all()
    halves = [torch.bincount(half, minlength=5)[2] for half in rows[0].split(450)]
    assert abs(int(halves[0] - halves[1])) < 80, "in random order"


def test_weights_in_the_loss_and_as_sampling_agree_in_expectation():
    """The mean gradient over many batches is the same, of members without hidden noise: one pass of each kind."""
    data, weights = toy(400, 0), torch.rand(400, generator=generator()) * 2
    weights /= weights.mean()
    model = made().model
    model.fit_normalizers(data)
    ones = torch.ones(3, 400).double()
    gradients = []
    for in_loss in (True, False):
        cumulative = (ones if in_loss else ones * weights).cumsum(1)
        rows = draw_rows(cumulative, 8000, generator(1))
        loss = ((weights[rows] if in_loss else 1.0) * model.loss(data[rows])).mean(1).sum()
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
    plain = torch.autograd.grad(
        model.loss(data[torch.arange(400).expand(3, -1)]).mean(1).sum(), list(model.parameters())
    )
    plain = torch.cat([g.flatten() for g in plain])
    difference = float((gradients[0] - gradients[1]).norm() / gradients[0].norm())
    assert difference < 0.02
    assert float((plain - gradients[0]).norm() / plain.norm()) > 5 * difference, "weights matter here"


@pytest.mark.parametrize("place", ["loss", "sampling"])
def test_uniform_weights_are_no_weights_bit_for_bit(place):
    data, config = toy(300, 0), replace(QUICK, weights=place)
    assert equal(trained(data, config=config), trained(data, torch.ones(300), config))
    # A factor shared by all of them does not matter either, where it is exact in binary.
    assert equal(trained(data, config=config), trained(data, torch.full((300,), 0.25), config))


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("loss", GaussianEnsemble),
        ("sampling", GaussianEnsemble),
        ("loss", MixtureEnsemble),
        ("loss", DeterministicEnsemble),
    ],
)
def test_rows_of_weight_zero_are_not_there_bit_for_bit(place, kind):
    good, junk = toy(300, 0), toy(100, 1, noise=50.0)
    order = torch.randperm(400, generator=generator(2)).argsort()
    keep = torch.cat([torch.ones(300), torch.zeros(100)])[order.argsort()]
    mixed = join(good, junk)[order.argsort()]
    good = mixed[keep > 0]
    config = replace(QUICK, weights=place)
    assert equal(trained(mixed, keep, config, kind), trained(good, None, config, kind))
    assert not equal(trained(mixed, None, config, kind), trained(good, None, config, kind))


def test_weights_count_in_the_holdout_or_not():
    data, weights = toy(300, 0), torch.rand(300, generator=generator()) + 0.1
    model = made().model
    model.fit_normalizers(data)
    error = holdout_error(model, data, weights)
    state, reward = model.expectation(data.observation, data.action)
    residual = torch.cat([state - data.next_observation, (reward - data.reward)[..., None]], dim=2)
    squared = (residual / model.target_scale.deviation).square() + 1e-6
    by_hand = ((weights[:, None] / weights.sum() / 3) * squared.log()).sum(dim=(1, 2)).exp()
    torch.testing.assert_close(error, by_hand, rtol=1e-4, atol=0)
    # Junk in the holdout alone, of weight 0: seen or not.
    junk = held_out(data) & (torch.arange(300) % 2 == 0)
    assert junk.any()
    spoiled = replace(data, reward=torch.where(junk, 5.0, data.reward))
    weights = 1 - junk.float()
    for weighted in (True, False):
        config = replace(QUICK, weighted_holdout=weighted)
        one, other = trained(data, weights, config), trained(spoiled, weights, config)
        assert bool(one["holdout"] == other["holdout"]) == weighted


def test_the_geometric_mean_is_not_ruled_by_a_target_that_cannot_be_predicted(tmp_path):
    """A heavy-tailed target, as in the pendulum with contact forces: the others go on improving all the same."""
    data = toy(1500, 0)
    torch.manual_seed(1)
    tail = torch.distributions.StudentT(1.1).sample((1500,))
    data = replace(data, next_observation=torch.stack([tail, data.next_observation[:, 1]], dim=1))
    config = ModelTrainingConfig(batch_size=64, learning_rate=5e-3, min_epoch_steps=20, max_steps=160, patience=3)
    trainer = made(config=config)
    numbers = drain(trainer.train(data, generator(), tmp_path))
    assert numbers["steps"] == 160
    with torch.no_grad():
        state, reward = trainer.model.expectation(data.observation, data.action)
    assert float((reward - data.reward).square().mean() / data.reward.var()) < 0.05
    assert float((state[..., 1] - data.next_observation[:, 1]).square().mean()) < 0.05


def test_rare_impacts_do_not_hide_progress_on_all_other_rows(tmp_path):
    """One row in a hundred, as where a pendulum hits its rail, jumps by what cannot be known."""
    data = toy(1500, 0, noise=0.01)
    trainer = made(config=replace(QUICK, max_steps=60))
    drain(trainer.train(data, generator(), tmp_path))
    struck = torch.arange(1500) % 100 == 7
    jump = torch.randn(1500, 2, generator=generator()) * 20 * struck[:, None]
    impacts = replace(data, next_observation=data.next_observation + jump)
    trainer.model.fit_normalizers(impacts)
    held = held_out(impacts)
    assert struck[held].any()

    def errors():
        one = holdout_error(trainer.model, impacts[held], torch.ones(int(held.sum())))
        state = trainer.model.expectation(impacts.observation, impacts.action)[0]
        residual = (state - impacts.next_observation)[:, held & ~struck].square().mean(dim=(1, 2))
        return one, residual

    before, smooth_before = errors()
    with torch.no_grad():  # a model that is wrong on the smooth rows by a little more
        trainer.model.networks.biases[-1].add_(0.2)
    after, smooth_after = errors()
    assert bool((smooth_after > smooth_before).all())
    assert bool((after > 1.2 * before).all())


def test_gradients_are_shortened_for_each_member_alone():
    one, two = (torch.nn.Parameter(torch.zeros(2, *shape)) for shape in ((1, 2), (3,)))
    one.grad, two.grad = torch.tensor([[[3.0, 0.0]], [[0.3, 0.4]]]), torch.tensor([[0.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    shorten_gradients([one, two], 1.0)
    torch.testing.assert_close(one.grad, torch.tensor([[[0.6, 0.0]], [[0.3, 0.4]]]))
    torch.testing.assert_close(two.grad, torch.tensor([[0.0, 0.8, 0.0], [0.0, 0.0, 0.0]]))


def test_early_stopping_restores_the_best_weights_of_each_member(tmp_path, monkeypatch):
    """Labels of the training rows are wrong, so that training makes a good model worse."""
    data = toy(600, 0)
    trainer = made(config=replace(QUICK, max_steps=150))
    drain(trainer.train(data, generator(), tmp_path))
    held = held_out(data)
    wrong = replace(
        data,
        reward=torch.where(held, data.reward, -data.reward),
        next_observation=torch.where(held[:, None], data.next_observation, -data.next_observation),
    )
    monkeypatch.setattr(trainer.model, "fit_normalizers", lambda transitions: None)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    error = holdout_error(trainer.model, data[held], torch.ones(int(held.sum())))
    numbers = drain(trainer.train(wrong, generator(), tmp_path))
    # No epoch was better than none at all: the old weights are back, after `patience` epochs.
    assert numbers["steps"] == QUICK.patience * max(10, -(-int((~held).sum()) // 32))
    after = trainer.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name != "elites")
    assert torch.equal(after["elites"], error.argsort()[:2])
    assert numbers["holdout"] == numbers["holdout_before"]


def test_best_keeps_each_member_apart():
    model, data = made().model, toy(200, 0)
    model.fit_normalizers(data)
    best = Best(model, data, torch.ones(200))
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[0] *= 0.5  # smaller weights predict the mean: better than at random
            parameter[1] += 3.0
            parameter[2] += 1.0
    moved = {name: p.detach().clone() for name, p in model.named_parameters()}
    better = holdout_error(model, data, torch.ones(200)) < best.error
    assert better.tolist() == [True, False, False]
    best.update()
    best.restore()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter[0], moved[name][0])
        assert torch.equal(parameter[1:], start[name][1:])


def test_elites_are_the_members_with_the_lowest_error(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "holdout_error", lambda *a: torch.tensor([0.2, 0.3, 0.1]))
    trainer = made()
    numbers = drain(trainer.train(toy(300, 0), generator(), tmp_path))
    assert trainer.model.elites.tolist() == [2, 0]
    assert numbers["holdout"] == pytest.approx(0.15)


@pytest.mark.parametrize("kind", [GaussianEnsemble, MixtureEnsemble])
def test_learns_a_toy_with_calibrated_variance(kind, tmp_path):
    torch.manual_seed(0)
    model = kind(2, 1, ModelConfig(members=2, elites=2, width=48, depth=2))
    config = ModelTrainingConfig(batch_size=128, learning_rate=3e-3, max_steps=500, patience=10)
    drain(ModelTrainer(model, config, 0).train(toy(3000, 0, noise=0.2), generator(), tmp_path))
    test = toy(3000, 1, noise=0.2)
    clean = test.observation[:, 0] + 0.5 * test.action[:, 0] ** 2
    state, reward = (each.detach().mean(dim=0) for each in model.expectation(test.observation, test.action))
    assert float((state[:, 0] - clean).std()) < 0.08
    assert float((state[:, 1] + test.observation[:, 1]).std()) < 0.06
    assert float((reward - test.reward).std()) < 0.06
    drawn, _ = model.predict(test.observation, test.action, generator())
    assert float((drawn[:, 0] - clean).std()) == pytest.approx(0.2, rel=0.15)


def test_an_objective_replaces_the_loss_and_judges_the_holdout(tmp_path):
    data, seen = toy(300, 0), []

    def objective(model, batch):
        seen.append(batch.observation.shape)
        return (model.mean(model(batch.observation, batch.action)) - model.target(batch))[..., -1].square()

    trainer = made(config=replace(QUICK, max_steps=200))
    numbers = drain(trainer.train(data, generator(), tmp_path, objective=objective))
    held = held_out(data)
    assert set(seen) == {(3, 32, 2), (3, int(held.sum()), 2)}
    prediction = trainer.model.expectation(data.observation[held], data.action[held])[1]
    error = ((prediction - data.reward[held]) / trainer.model.target_scale.deviation[-1]).square().mean(dim=1)
    assert numbers["holdout"] == pytest.approx(float(error[trainer.model.elites].mean()), rel=1e-3)
    assert numbers["holdout"] < 0.2 * numbers["holdout_before"]


def test_limits_of_steps_and_progress(tmp_path):
    loop = made(config=replace(QUICK, max_steps=25)).train(toy(300, 0), generator(), tmp_path)
    shown = list(loop)
    assert [p.done for p in shown] == [10, 20, 25]
    assert all(p.total == 25 and set(p.metrics) == {"loss", "holdout"} for p in shown)


def test_training_continues_from_a_checkpoint_to_the_same_bits(tmp_path):
    first, second = toy(300, 0), toy(500, 1)
    whole = made()
    drain(whole.train(first, generator(0), tmp_path))
    saved = {name: tensor.clone() for name, tensor in whole.state().items()}
    drain(whole.train(second, generator(1), tmp_path))
    torch.manual_seed(5)
    resumed = ModelTrainer(GaussianEnsemble(2, 1, TINY), QUICK, seed=0)
    resumed.load_state(saved, Path("state"))
    drain(resumed.train(second, generator(1), tmp_path))
    assert equal(whole.state(), resumed.state())
    other = made()
    drain(other.train(first, generator(7), tmp_path))
    assert not equal(other.state(), saved)
    with pytest.raises(FileError, match=r"^state: tensor .* has shape"):
        made(sizes=replace(TINY, width=8)).load_state(saved, Path("state"))


def test_a_loss_that_is_not_finite_stops_and_dumps_its_batch(tmp_path):
    calls = []

    def objective(model, batch):
        calls.append(batch)
        return model.loss(batch) * (float("nan") if len(calls) == 5 else 1.0)

    with pytest.raises(TrainingError, match=r"not finite; its batch is in .*bad_batch") as caught:
        trained(toy(300, 0), objective=objective, folder=tmp_path)
    assert "\n" not in str(caught.value)
    dumped, _ = load_checkpoint(tmp_path / "bad_batch.safetensors", "bad-batch", 1)
    assert torch.equal(dumped["reward"], calls[-1].reward)
    assert torch.equal(dumped["weight"], torch.ones(3, 32))


def test_wrong_weights_and_settings_are_refused(tmp_path):
    data = toy(100, 0)
    for weights, text in (
        (torch.ones(99), "99 weights were given for 100 transitions"),
        (torch.full((100,), -1.0), "finite and not negative"),
        (torch.full((100,), float("inf")), "finite and not negative"),
        (torch.zeros(100), "needs more transitions"),
    ):
        with pytest.raises(UsageError, match=text):
            trained(data, weights)
    with pytest.raises(UsageError, match="needs more transitions than 1 "):
        trained(toy(1, 0))
    with pytest.raises(UsageError, match=r"training\.patience must be at least 1, not 0"):
        ModelTrainingConfig(patience=0)
    with pytest.raises(UsageError, match=r"training\.holdout must lie in \(0, 1\), not 1"):
        ModelTrainingConfig(holdout=1)
