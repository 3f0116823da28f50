"""Students as files, and as policies that see nothing but their cameras."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from expertgen.distillation.student import Student, StudentPolicy, StudentSpec, make_student_env
from expertgen.errors import FileError, UsageError
from expertgen.runs.checkpoint import save_checkpoint
from expertgen.tasks.registry import get_task
from expertgen.vision.points import Workspace
from tests.distillation.toys import TASK

SPEC = StudentSpec(TASK.id, "points", TASK.cameras[1:2], 64, 4, 8, 4, 32, Workspace())
IDS = np.arange(2)


def student(sight="points", cameras=TASK.cameras[1:2]):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Student(replace(SPEC, sight=sight, cameras=cameras))
    made.normalizer.mean.copy_(torch.tensor([0.0, 0.6, 0.2, 1.0]))
    return made.eval()


@pytest.fixture(scope="module")
def env():
    return make_student_env(TASK, 2)


@pytest.mark.parametrize("sight", ["points", "depth", "blind"])
def test_a_loaded_student_plans_the_same_bits(tmp_path, env, sight):
    made = student(sight, TASK.cameras)
    made.save(tmp_path / "student.safetensors")
    loaded = Student.load(tmp_path / "student.safetensors")
    assert loaded.spec == made.spec
    observation, _ = env.reset(seed=0)
    plans = []
    for one in (made, loaded):
        policy = StudentPolicy(one, env)
        policy.reset(IDS)
        plans.append(policy.plan(observation, IDS))
    assert plans[0].shape == (2, 8, 4)
    assert plans[0].dtype == np.float32
    assert np.abs(plans[0]).max() <= 1
    np.testing.assert_array_equal(*plans)


@pytest.mark.parametrize("sight", ["points", "depth", "blind"])
def test_no_privileged_state_reaches_a_student(env, sight):
    observation, _ = env.reset(seed=0)
    poisoned = observation.copy()
    poisoned[:, np.setdiff1d(np.arange(39), TASK.columns("student"))] = np.nan
    plans = []
    for rows in (observation, poisoned):
        policy = StudentPolicy(student(sight), env)
        policy.reset(IDS)
        plans.append(policy.plan(rows, IDS))
    np.testing.assert_array_equal(*plans)


def test_a_blind_student_does_not_look(env):
    policy = StudentPolicy(student("blind"), env)
    here, _ = env.reset(seed=0)
    policy.reset(IDS)
    plan = policy.plan(here, IDS)
    elsewhere, _ = env.reset(seed=1)
    elsewhere[:, TASK.columns("student")] = here[:, TASK.columns("student")]
    np.testing.assert_array_equal(policy.plan(elsewhere, IDS), plan)


def test_broken_files_are_refused(tmp_path):
    path = tmp_path / "student.safetensors"
    with pytest.raises(FileError, match="does not exist"):
        Student.load(path)
    student().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="truncated"):
        Student.load(path)


@pytest.mark.parametrize(
    ("kind", "version", "changes", "part"),
    [
        ("prior", 1, {}, "holds a 'prior', not a 'student'"),
        ("student", 0, {}, "version 0"),
        ("student", 1, {"width": 48}, "has shape"),
        ("student", 1, {"colour": 3}, "does not fit this version"),
    ],
)
def test_files_of_another_kind_version_or_shape_are_refused(tmp_path, kind, version, changes, part):
    path = tmp_path / "student.safetensors"
    save_checkpoint(path, kind, version, student().state_dict(), asdict(SPEC) | changes)
    with pytest.raises(FileError, match=part):
        Student.load(path)


def test_students_of_another_task_are_refused(env):
    with pytest.raises(UsageError, match="made for task 'assembly', not for 'peg-insert-side'"):
        StudentPolicy(Student(replace(SPEC, task="assembly")), env)
    with pytest.raises(UsageError, match="distil it again"):
        StudentPolicy(Student(replace(SPEC, proprioception_size=7)), env)


def test_tasks_without_cameras_are_refused():
    with pytest.raises(UsageError, match="has no cameras"):
        make_student_env(get_task("adroit-door"), 1)
