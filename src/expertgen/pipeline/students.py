"""The camera student of a run and its two controls, trained and measured side by side where there are two cores."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from expertgen.distillation.dagger import DistillConfig, distill
from expertgen.distillation.student import StudentPolicy, make_student_env
from expertgen.evaluation.evaluate import Evaluation
from expertgen.pipeline.measure import measure
from expertgen.pipeline.settings import RunConfig
from expertgen.runs.machine import available_cores, prepare_worker
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import StageProgress, drain, timed
from expertgen.steering.expert import Expert, ExpertPolicy
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task

CONTROLS = ("bc_student", "blind_student")
"""Behaviour cloning on as many decisions, and a student without eyes: they show what DAgger and cameras are worth."""


def train_students(config: RunConfig, folder: Path) -> Generator[StageProgress, None, dict[str, Evaluation]]:
    """Distils and measures the student and its controls; with a second core, the controls in a process of their own.

    Args:
        config: settings of the run.
        folder: the run folder, where the expert lies.

    Returns:
        what each of them achieved, by name; and the `teacher`, which is the expert in the students' simulator.
    """
    evaluations = {}
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=prepare_worker) as second_core:
        aside = [second_core.submit(_control, config, folder, name) for name in CONTROLS if available_cores() > 1]
        evaluations["teacher"] = yield from _measure_teacher(config, folder)
        evaluations["student"] = yield from _train_student(config, folder, "student")
        for done, control in enumerate(aside):
            yield StageProgress("controls", done, len(aside), "students")
            control.result()
    for name in CONTROLS:
        evaluations[name] = yield from _train_student(config, folder, name)  # reads back what is done
    return evaluations


def _train_student(config: RunConfig, folder: Path, name: str) -> Generator[StageProgress, None, Evaluation]:
    """Distils a student and measures it."""
    task, expert = get_task(config.task), _expert(config, folder)

    def teacher(seed: int) -> ExpertPolicy:
        return ExpertPolicy(expert, seed)

    loop = distill(task, teacher, _settings(config, name), config.seed, folder / name, config.device)
    student, seconds = yield from timed(loop, folder / name / "seconds.json")
    env_steps = read_metrics(folder / name)[-1]["env_steps"]
    with closing(_make_env(config)) as env:
        policy = StudentPolicy(student, env, seed=config.seed)
        return (yield from measure(config, folder / name, policy, seconds, env_steps, env))


def _measure_teacher(config: RunConfig, folder: Path) -> Generator[StageProgress, None, Evaluation]:
    """Measures the expert in the simulator and on the episodes of the students."""
    policy = ExpertPolicy(_expert(config, folder), config.seed)
    with closing(_make_env(config)) as env:
        return (yield from measure(config, folder / "teacher", policy, env=env))


def _make_env(config: RunConfig) -> MetaWorldEnv:
    number = config.evaluation
    return make_student_env(get_task(config.task), min(number.num_envs, number.episodes))


def _settings(config: RunConfig, name: str) -> DistillConfig:
    """How a student is distilled, by its name."""
    if name == "bc_student":
        return replace(config.distill, alpha_start=1.0, alpha_end=1.0)
    return replace(config.distill, sight="blind") if name == "blind_student" else config.distill


def _expert(config: RunConfig, folder: Path) -> Expert:
    return Expert.load(folder / "expert" / "expert.safetensors").to(config.device)


def _control(config: RunConfig, folder: Path, name: str) -> None:
    drain(_train_student(config, folder, name))
