"""Branched rollouts, by hand: who leaves when, where they start, how long they are, how many are kept."""

import pytest
import torch

from expertgen.errors import TrainingError
from expertgen.mbrl.mbpo import MbpoConfig
from expertgen.mbrl.rollouts import branched_rollouts, draw_starts, rollout_length
from expertgen.runs.checkpoint import load_checkpoint
from tests.mbrl.toy import Exact, Towards, lost


def seeded():
    return torch.Generator().manual_seed(0)


def test_rows_leave_where_they_terminate(tmp_path):
    # One point is 3 steps from the edge, the other one 1 step.
    model, start = Exact(), torch.tensor([[0.7, 0.0], [1.1, 0.5]])
    imagined = branched_rollouts(model, Towards(1.0, 0.0), lost, start, 4, seeded(), tmp_path)
    assert model.rows == [2, 1, 1], "nobody is left for the fourth step"
    torch.testing.assert_close(imagined.observation[:, 0], torch.tensor([0.7, 1.1, 0.9, 1.1]))
    torch.testing.assert_close(imagined.next_observation[:, 0], torch.tensor([0.9, 1.3, 1.1, 1.3]))
    assert imagined.terminated.tolist() == [False, True, False, True]
    assert not imagined.truncated.any(), "the end of a rollout is no end of an episode"
    torch.testing.assert_close(imagined.reward, 1 - imagined.next_observation.norm(dim=1))


def test_a_rollout_ends_after_its_length(tmp_path):
    model = Exact()
    imagined = branched_rollouts(model, Towards(0.1, 0.0), lost, torch.zeros(5, 2), 3, seeded(), tmp_path)
    assert model.rows == [5, 5, 5]
    assert len(imagined) == 15


def test_a_prediction_that_is_not_finite_stops_with_the_batch(tmp_path):
    with pytest.raises(TrainingError, match="not finite"):
        branched_rollouts(Exact(float("nan")), Towards(0.1, 0.0), lost, torch.zeros(5, 2), 3, seeded(), tmp_path)
    dumped, _ = load_checkpoint(tmp_path / "bad_batch.safetensors", "bad-batch", 1)
    assert dumped["next_observation"].isnan().all()


@pytest.mark.parametrize(
    ("schedule", "lengths"),
    [
        ((20, 150, 1, 15), {0: 1, 20: 1, 29: 1, 30: 2, 85: 8, 149: 14, 150: 15, 400: 15}),
        ((20, 100, 1, 25), {20: 1, 60: 13, 100: 25}),
        ((20, 150, 1, 1), {0: 1, 85: 1, 1000: 1}),
    ],
)
def test_schedules_of_mbpo(schedule, lengths):
    assert {epoch: rollout_length(epoch, schedule) for epoch in lengths} == lengths


def test_retention_is_that_of_mbpo():
    config = MbpoConfig(rollout_transitions=1000, model_every=250, epoch_steps=1000, retain_epochs=5)
    assert config.retained == 1000 * 4 * 5


def test_starts_follow_their_weights():
    rows = torch.arange(4.0)[:, None]
    drawn = draw_starts(rows, torch.tensor([0.0, 1.0, 3.0, 0.0]), 4000, seeded())
    assert torch.bincount(drawn[:, 0].long(), minlength=4).tolist() == [0, 1000, 3000, 0]


def test_equal_weights_draw_as_ones_do():
    rows = torch.randn(100, 2)
    drawn = draw_starts(rows, torch.ones(100), 50, seeded())
    assert torch.equal(drawn, draw_starts(rows, torch.full((100,), 2.0), 50, seeded()))
    assert len(draw_starts(rows, torch.ones(100), 250, seeded()).unique(dim=0)) == 100
