"""Training the prior: windows by hand, a bimodal toy, broken losses, and kills at random moments."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from expertgen.demos.store import Demo, DemoSet
from expertgen.errors import FileError, TrainingError
from expertgen.prior import training
from expertgen.prior.prior import DiffusionPrior, PriorConfig
from expertgen.prior.training import WindowSampler, learning_rate, train_prior, windows
from expertgen.runs.checkpoint import load_checkpoint
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from expertgen.runs.seeding import torch_generator
from tests.killing import finish, finish_killed
from tests.toys import point_demos

TINY = PriorConfig(chunk_length=2, levels=5, sampler_steps=2, width=16, depth=1, iterations=50, batch_size=32)


def train(folder: Path, **changes) -> DiffusionPrior:
    return drain(train_prior(point_demos(4, 0, 0.1), replace(TINY, **changes), 0, folder))


def demo(actions, observations=None):
    actions = np.asarray(actions, np.float32)
    if observations is None:
        observations = np.arange(len(actions), dtype=np.float32)[:, None]
    return Demo(np.asarray(observations, np.float32), actions, np.zeros(len(actions), np.float32), True, 0, "toy")


def demo_set(*demos):
    return DemoSet("toy", (("observation", 0, demos[0].observations.shape[1]),), demos)


def test_windows_by_hand():
    demos = demo_set(demo([[0.1], [0.2], [0.3]]), demo([[-0.5]], observations=[[9]]))
    observations, chunks = windows(demos, 3)
    assert observations.tolist() == [[0], [1], [2], [9]]
    expected = [[0.1, 0.2, 0.3], [0.2, 0.3, 0.3], [0.3, 0.3, 0.3], [-0.5, -0.5, -0.5]]
    np.testing.assert_array_equal(chunks.squeeze(2).numpy(), np.array(expected, np.float32))
    assert observations.dtype == chunks.dtype == torch.float32


def test_windows_are_drawn_in_proportion_to_the_weights():
    demos = demo_set(demo([[0.0]] * 3), replace(demo([[0.0]]), weight=6.0), replace(demo([[0.0]] * 2), weight=0.5))
    drawn = WindowSampler(demos)(100_000, torch_generator(0))
    share = torch.bincount(drawn, minlength=6) / 100_000
    np.testing.assert_allclose(share, np.array([1, 1, 1, 6, 0.5, 0.5]) / 10, atol=0.005)


def test_equal_weights_draw_the_same_windows_as_none():
    demos = [demo([[0.0]] * 3), demo([[0.0]])]
    twice = [replace(one, weight=2.0) for one in demos]
    one, two = (WindowSampler(demo_set(*chosen))(1000, torch_generator(0)) for chosen in (demos, twice))
    assert torch.equal(one, two)
    assert torch.equal(one, torch.randint(4, (1000,), generator=torch_generator(0)))


def test_learning_rate_falls_from_its_peak_to_zero_over_the_whole_run():
    config = PriorConfig(iterations=1000, learning_rate=0.4)
    assert learning_rate(config, 0) == pytest.approx(0.4)
    assert learning_rate(config, 250) == pytest.approx(0.4 * (1 + 0.5**0.5) / 2)
    assert learning_rate(config, 500) == pytest.approx(0.2)
    assert learning_rate(config, 1000) == pytest.approx(0.0)


def test_the_optimizer_gets_that_learning_rate_in_every_segment(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SEGMENT_ITERATIONS", 4)
    used = []
    step = torch.optim.AdamW.step

    def recorded(self, *arguments, **options):
        used.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", recorded)
    config = PriorConfig(chunk_length=2, width=8, depth=1, iterations=10, batch_size=4)
    drain(train_prior(point_demos(2, 0), config, 0, tmp_path))
    assert used == [learning_rate(config, i) for i in range(10)]


def test_learns_both_modes_of_a_bimodal_demonstrator(tmp_path):
    # Under one and the same observation half of the episodes go left, half go right.
    left, right = [[-0.6], [-0.4]], [[0.6], [0.4]]
    demos = demo_set(*(demo(a * 10, np.zeros((20, 1))) for a in (left, right) for _ in range(4)))
    config = PriorConfig(
        chunk_length=2,
        levels=10,
        sampler_steps=10,
        width=64,
        depth=2,
        iterations=1200,
        learning_rate=4e-3,
        ema_rate=0.02,
    )
    prior = drain(train_prior(demos, config, 0, tmp_path))
    observation = torch.zeros(512, 1)
    noise = torch.randn(512, 2, 1, generator=torch.Generator().manual_seed(0))
    chunk = prior.decode(observation, noise).squeeze(2)
    share = float((chunk[:, 0] > 0).float().mean())
    assert 0.35 < share < 0.65, "N(0, I) noise shows both modes"
    assert float((chunk[:, 0] * chunk[:, 1] > 0).float().mean()) > 0.95, "a chunk belongs to one mode as a whole"
    assert float((chunk.abs().sort(dim=1).values - torch.tensor([0.4, 0.6])).abs().median()) < 0.08
    single = prior.decode(observation, noise[:1].expand(512, 2, 1)).squeeze(2)
    assert float(single.std(dim=0).max()) < 1e-6, "one noise is one mode"


def test_result_is_the_saved_file(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "REPORT_ITERATIONS", 20)
    prior = train(tmp_path)
    assert not any(parameter.requires_grad for parameter in prior.network.parameters())
    loaded = DiffusionPrior.load(tmp_path / "prior.safetensors")
    observation, noise = torch.randn(5, 4), torch.randn(5, *prior.noise_shape)
    assert torch.equal(loaded.decode(observation, noise), prior.decode(observation, noise))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.jsonl", "prior.safetensors"]
    rows = read_metrics(tmp_path)
    assert [row["step"] for row in rows] == [20, 40, 50]
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_a_finished_stage_is_read_back(tmp_path, monkeypatch):
    train(tmp_path)
    before = (tmp_path / "prior.safetensors").read_bytes()
    monkeypatch.setattr(training, "denoising_loss", None)
    train(tmp_path)
    assert (tmp_path / "prior.safetensors").read_bytes() == before


def test_seeds_differ(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        drain(train_prior(point_demos(4, 0, 0.1), TINY, seed, tmp_path / name))
    a, b, c = ((tmp_path / name / "prior.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_loss_that_is_not_finite_stops_and_dumps_its_batch(tmp_path, monkeypatch):
    honest, calls = training.denoising_loss, []

    def broken(*arguments):
        calls.append(arguments)
        return honest(*arguments) * (float("nan") if len(calls) == 33 else 1.0)

    monkeypatch.setattr(training, "SEGMENT_ITERATIONS", 20)
    monkeypatch.setattr(training, "denoising_loss", broken)
    with pytest.raises(TrainingError, match=r"not finite at iteration 32; its batch is in .*bad_batch") as caught:
        train(tmp_path)
    assert "\n" not in str(caught.value)
    batch, about = load_checkpoint(tmp_path / "bad_batch.safetensors", "bad-batch", 1)
    assert about == {"iteration": 32}
    assert torch.equal(batch["chunk"], calls[-1][3])
    assert torch.equal(batch["noise"], calls[-1][4])
    assert not (tmp_path / "prior.safetensors").exists()
    # What had been saved before is whole: without the fault the run goes on from there.
    monkeypatch.setattr(training, "denoising_loss", honest)
    train(tmp_path)
    train(tmp_path / "whole")
    assert (tmp_path / "prior.safetensors").read_bytes() == (tmp_path / "whole" / "prior.safetensors").read_bytes()


def test_a_saved_state_of_another_shape_is_refused(tmp_path):
    loop = train_prior(point_demos(4, 0), PriorConfig(width=8, depth=1, iterations=2000), 0, tmp_path)
    while not (tmp_path / "state.safetensors").exists():
        next(loop)
    with pytest.raises(FileError, match=r"state\.safetensors: tensor .* has shape"):
        drain(train_prior(point_demos(4, 0), PriorConfig(width=16, depth=1, iterations=2000), 0, tmp_path))


def killable(folder: Path) -> None:
    training.SEGMENT_ITERATIONS, training.REPORT_ITERATIONS = 30, 15
    train(folder, iterations=120)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, finish(killable, folder)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("moment", ["time", "file"])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(whole, tmp_path, moment, seed):
    folder, seconds = whole
    finish_killed(killable, tmp_path, seconds, moment, seed)
    assert contents(tmp_path) == contents(folder)
