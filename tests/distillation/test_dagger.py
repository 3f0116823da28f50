"""DAgger: who acts, who labels, and the same bits whatever happens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expertgen.distillation import dagger
from expertgen.distillation.dagger import DistillConfig, distill
from expertgen.distillation.student import Student
from expertgen.errors import UsageError
from expertgen.runs.checkpoint import load_checkpoint
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from expertgen.tasks.registry import get_task
from expertgen.vision.randomize import CameraRandomization
from tests.distillation.toys import CONFIG, TASK, ReachingExpert

NOISY = replace(CONFIG, randomization=CameraRandomization(0.01, 1.0, 0.002, 0.02, 0.1, 1))


@pytest.fixture(autouse=True, scope="module")
def one_environment():
    """All distillations here play in the same environments: making them is what takes the time."""
    made, make = [], dagger.make_student_env

    def shared(task, num_envs):
        if task != TASK or not made:
            made.append(make(task, num_envs))
        return made[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dagger, "make_student_env", shared)
        yield


def run(folder, config=NOISY, make_teacher=lambda seed: ReachingExpert(seed, jitter=0.1), seed=0):
    return distill(TASK, make_teacher, config, seed, folder)


def weights(folder):
    return load_checkpoint(folder / "student.safetensors", "student", 1)[0]


def assert_same_result(folder, other):
    one, two = weights(folder), weights(other)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name].numpy(), two[name].numpy(), err_msg=name)
    assert read_metrics(folder) == read_metrics(other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    drain(run(folder))
    return folder


def test_schedules_by_hand():
    config = DistillConfig(iterations=5, final_iterations=2, updates=10, learning_rate=1e-3)
    assert [config.alpha(i) for i in range(5)] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
    assert config.total_updates == 70
    # Constant for 50 steps, then down over the last 20.
    rates = [config.learning_rate_at(update) for update in (0, 49, 50, 60, 69)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4, 5e-5])


def test_every_decision_is_labelled_and_kept(whole):
    rows = read_metrics(whole)
    assert [row["decisions"] for row in rows] == [6, 12, 12]
    assert [row["step"] for row in rows] == [5, 10, 15]
    assert [row.get("alpha") for row in rows] == [1.0, 0.2, None]
    assert not (whole / "state.safetensors").exists()


def test_the_same_seed_gives_the_same_bits_and_another_does_not(whole, tmp_path):
    drain(run(tmp_path / "again"))
    assert_same_result(whole, tmp_path / "again")
    drain(run(tmp_path / "other", seed=1))
    assert not np.array_equal(
        weights(whole)["network.head.0.weight"].numpy(), weights(tmp_path / "other")["network.head.0.weight"].numpy()
    )


@pytest.mark.parametrize("moments", [(1,), (2,), (3,), (1, 1, 1)])
def test_a_run_broken_off_at_any_moment_ends_with_the_same_bits(whole, tmp_path, moments):
    for steps in moments:
        loop = run(tmp_path)
        for _ in range(steps):
            next(loop)
        loop.close()
    drain(run(tmp_path))
    assert_same_result(whole, tmp_path)


def test_a_finished_distillation_is_loaded(whole):
    loop = run(whole)
    with pytest.raises(StopIteration) as stop:
        next(loop)
    assert isinstance(stop.value.value, Student)


def test_behaviour_cloning_has_as_many_decisions_and_updates_and_only_the_expert_acts(tmp_path, monkeypatch):
    acted = []
    monkeypatch.setattr(Student, "act", lambda self, seen: np.full((2, 4, 4), np.nan, np.float32))
    cloning = replace(CONFIG, alpha_end=1.0)
    teacher = ReachingExpert()
    drain(run(tmp_path, cloning, lambda seed: acted.append(seed) or teacher))  # A NaN that acts would be refused.
    assert teacher.plans == CONFIG.iterations * CONFIG.decisions
    assert [row["decisions"] for row in read_metrics(tmp_path)] == [6, 12, 12]


def test_without_the_expert_only_the_student_acts(tmp_path, monkeypatch):
    monkeypatch.setattr(Student, "act", lambda self, seen: np.full((2, 4, 4), np.nan, np.float32))
    with pytest.raises(UsageError, match="not finite"):
        drain(run(tmp_path, replace(CONFIG, alpha_start=0.0, alpha_end=0.0)))


@pytest.mark.parametrize("sight", ["depth", "blind"])
def test_other_students_are_distilled_alike(tmp_path, sight):
    student = drain(run(tmp_path, replace(CONFIG, sight=sight, cameras=("side", "hand"))))
    assert student.spec.sight == sight
    assert [camera.name for camera in student.spec.cameras] == ["side", "hand"]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"sight": "touch"}, "distill.sight"),
        ({"iterations": 0}, "distill.iterations must be at least 1"),
        ({"updates": -1}, "distill.updates must not be negative"),
        ({"decisions": 7}, "multiple of num_envs"),
        ({"alpha_start": 0.5, "alpha_end": 0.6}, "alpha_end"),
        ({"learning_rate": 0.0}, "distill.learning_rate"),
        ({"ema_rate": 0.0}, "distill.ema_rate"),
        ({"train_points": 33}, "cannot exceed points"),
    ],
)
@pytest.mark.usefixtures("wrong_types")
def test_impossible_values_are_refused(changes, part):
    with pytest.raises(UsageError, match=part):
        replace(CONFIG, **changes)


def test_unknown_cameras_and_tasks_without_cameras_are_refused_before_any_work(tmp_path):
    with pytest.raises(UsageError, match="no camera 'above'"):
        next(run(tmp_path, replace(CONFIG, cameras=("above",))))
    with pytest.raises(UsageError, match="has no cameras"):
        next(distill(get_task("adroit-door"), lambda seed: ReachingExpert(), CONFIG, 0, tmp_path))
    assert not list(tmp_path.iterdir())
