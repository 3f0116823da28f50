"""Regression on labelled decisions."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from expertgen.distillation.augment import augmented
from expertgen.distillation.learner import Learner
from expertgen.distillation.student import StudentSpec
from expertgen.errors import FileError, TrainingError
from expertgen.runs.checkpoint import load_checkpoint
from expertgen.runs.seeding import torch_generator
from expertgen.vision.points import Workspace
from expertgen.vision.randomize import CameraRandomization

SPEC = StudentSpec("toy", "points", (), 48, 4, 2, 3, 32, Workspace())


def learner(seed=0, **changes):
    augment = partial(augmented, train_points=32, randomization=CameraRandomization())
    return Learner(replace(SPEC, **changes), seed, batch_size=32, augment=augment, weight_decay=1e-4, ema_rate=0.05)


def decisions(count=256, sight="points"):
    """Clouds of a small object; the label is where it lies, seen from the hand."""
    generator = torch_generator(0, "toy")
    place = torch.rand(count, 1, 3, generator=generator) * 0.4 + torch.tensor([-0.2, 0.4, 0.05])
    points = place + 0.01 * torch.randn(count, 48, 3, generator=generator)
    proprioception = torch.rand(count, 4, generator=generator) * 0.2 + torch.tensor([-0.1, 0.5, 0.1, 0.0])
    label = (place[:, 0] - proprioception[:, :3]).clamp(-1, 1)[:, None].expand(-1, 2, 3) * 2
    view = {"points": points, "proprioception": proprioception}
    return ({"proprioception": proprioception} if sight == "blind" else view), label


def train(who, updates, folder, seed=0):
    return list(who.train(updates, lambda _: 3e-3, torch_generator(seed, "batches"), folder))


def test_sees_where_an_object_lies(tmp_path):
    losses = {}
    for sight in ("points", "blind"):
        who = learner(sight=sight)
        view, label = decisions(sight=sight)
        who.add([view], [label])
        losses[sight] = train(who, 120, tmp_path)[-1]
    assert losses["points"] < 0.06
    assert losses["blind"] > 2 * losses["points"]  # The object's place is not in the proprioception.


def test_the_average_follows_the_student_and_has_its_normaliser(tmp_path):
    who = learner()
    view, label = decisions()
    before = [p.clone() for p in who.average.parameters()]
    who.add([view], [label])
    train(who, 5, tmp_path)
    assert all(not torch.equal(a, b) for a, b in zip(before, who.average.parameters(), strict=True))
    torch.testing.assert_close(who.average.normalizer.mean, view["proprioception"].mean(dim=0))
    assert who.updates == 5


def test_the_normaliser_stays_as_the_first_decisions_set_it():
    who = learner()
    view, label = decisions()
    who.add([view], [label])
    mean = who.average.normalizer.mean.clone()
    who.add([{name: part + 1 for name, part in view.items()}], [label])
    torch.testing.assert_close(who.average.normalizer.mean, mean)
    assert who.decisions == 512


def test_continues_with_the_same_bits_after_loading(tmp_path):
    view, label = decisions()
    straight, broken, loaded = learner(), learner(), learner(seed=9)
    for who in (straight, broken):
        who.add([view], [label])
        train(who, 4, tmp_path)
    broken.save(tmp_path / "state.safetensors", iteration=3)
    assert loaded.load(tmp_path / "state.safetensors") == {"iteration": 3}
    for who in (straight, loaded):
        who.add([view], [label])
        train(who, 4, tmp_path, seed=1)
    assert straight.updates == loaded.updates == 8
    for name, value in straight.average.state_dict().items():
        assert torch.equal(value, loaded.average.state_dict()[name]), name


def test_a_state_of_another_size_is_refused(tmp_path):
    who = learner()
    who.save(tmp_path / "state.safetensors")
    with pytest.raises(FileError, match="has shape"):
        learner(width=8).load(tmp_path / "state.safetensors")


def test_a_loss_that_is_not_finite_stops_and_leaves_its_batch(tmp_path):
    who = learner()
    view, label = decisions()
    who.add([view], [label])
    augment, calls = who._augment, []

    def broken_once(view, generator):
        calls.append(view)
        seen = augment(view, generator)
        return {**seen, "points": seen["points"] * float("nan")} if len(calls) == 7 else seen

    who._augment = broken_once
    with pytest.raises(TrainingError, match="not finite at update 6; its batch is in"):
        train(who, 50, tmp_path)
    tensors, meta = load_checkpoint(tmp_path / "bad_batch.safetensors", "bad-batch", 1)
    assert meta == {"update": 6}
    assert bool(tensors["points"].isnan().all())
    assert torch.equal(tensors["proprioception"], calls[6]["proprioception"])
