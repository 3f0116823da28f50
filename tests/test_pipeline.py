"""The whole way: on the toy in seconds, killed at random moments; on MetaWorld, down to the camera student."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from expertgen.cli import main
from expertgen.demos.collect import CollectConfig
from expertgen.evaluation.results import CONTROLS, STAGES, Results
from expertgen.pipeline import measure, students
from expertgen.pipeline.measure import evaluate_run
from expertgen.pipeline.run import run
from expertgen.pipeline.settings import EvaluationConfig, RunConfig
from expertgen.prior.prior import DiffusionPrior, PriorConfig, PriorPolicy
from expertgen.rl.sac import SacConfig
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from expertgen.steering.steer import SteerConfig
from expertgen.tasks.registry import get_task, make_env
from tests.distillation.toys import CONFIG as DISTILL
from tests.killing import finish, finish_killed_at_file_operations, finish_killed_at_random_times
from tests.toys import point_task

POINT = replace(point_task(), simulator="tests.toys:make_point_env")
SHORT_REACH = replace(get_task("reach"), horizon=24)

PROGRAM = """
import numpy as np

class Program:
    def reset(self, seed):
        self.error = np.random.default_rng(seed).normal(0, 0.2, 2)

    def act(self, observation):
        towards = observation["goal_position"] + self.error - observation["point_position"]
        return np.clip(towards / 0.1, -1, 1)
"""

TIMES = ("seconds", "peak_memory_mb")


def toy_config(folder: Path) -> RunConfig:
    program = folder.parent / "program.py"
    program.write_text(PROGRAM)
    return RunConfig(
        "tests.test_pipeline:POINT",
        program=program,
        until="expert",
        demos=CollectConfig(episodes=16, num_envs=8),
        prior=PriorConfig(chunk_length=4, width=32, depth=1, iterations=300),
        steer=SteerConfig(
            num_envs=8,
            env_steps=3000,
            segment_env_steps=1000,
            warmup_env_steps=500,
            validation_episodes=8,
            agent=SacConfig(width=32, depth=2),
        ),
        evaluation=EvaluationConfig(episodes=16, num_envs=8, constant_noises=4),
    )


def do_run(folder: Path) -> None:
    drain(run(toy_config(folder), folder, "expertgen run toy"))


def do_run_with_students(folder: Path) -> None:
    """Every stage, control and measurement, in one process and without films: those would take most of the time."""
    students.available_cores = lambda: 1
    config = RunConfig(
        "tests.test_pipeline:SHORT_REACH",
        demos=CollectConfig(episodes=4, num_envs=4),
        prior=PriorConfig(width=16, depth=1, iterations=20),
        steer=SteerConfig(
            num_envs=4,
            env_steps=400,
            segment_env_steps=200,
            warmup_env_steps=100,
            validation_episodes=2,
            agent=SacConfig(width=16, depth=1),
        ),
        distill=replace(DISTILL, iterations=1, final_iterations=1),
        evaluation=EvaluationConfig(episodes=2, num_envs=2, constant_noises=2, films=False),
    )
    drain(run(config, folder, "expertgen run reach"))


def contents(folder: Path) -> dict[str, object]:
    """What lies in a run folder, by path: objects without their times, and the bytes of all else."""
    return {str(path.relative_to(folder)): read(path) for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> object:
    if path.name == "metrics.jsonl":
        return without_times(read_metrics(path.parent))
    return without_times(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in TIMES}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "run"
    return folder, finish(do_run, folder)


def test_a_run_killed_at_random_times_ends_with_the_same_files(whole):
    folder, seconds = whole
    assert finish_killed_at_random_times(do_run, folder.with_name("killed"), seconds, seed=1) > 1
    assert contents(folder.with_name("killed")) == contents(folder)


def test_a_run_with_students_killed_at_file_operations_ends_with_the_same_files(tmp_path):
    pytest.importorskip("metaworld", reason="the extra vision is not installed")
    finish(do_run_with_students, tmp_path / "whole")
    assert finish_killed_at_file_operations(do_run_with_students, tmp_path / "killed", seed=1, operations=200) > 1
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    stages = Results.load(tmp_path / "killed" / "results.json").stages
    assert stages.keys() == {*STAGES, *CONTROLS}


def test_a_run_has_everything_and_is_evaluated_again(whole):
    folder, _ = whole
    results = Results.load(folder / "results.json")
    assert results.stages.keys() == {"demos", "prior", "zero_noise", "constant_noise", "expert"}
    assert all(read_metrics(folder / stage) for stage in ("prior", "expert"))
    again = drain(evaluate_run(folder, 16, 999))
    for stage in ("prior", "expert"):
        assert again.stages[stage].success == results.stages[stage].success


def test_a_run_broken_off_while_it_reads_back_shows_all_that_it_had(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "expert")
    before = Results.load(tmp_path / "run" / "results.json")
    loop = run(toy_config(tmp_path / "run"), tmp_path / "run", "expertgen run --resume run")
    next(loop)
    loop.close()
    after = Results.load(tmp_path / "run" / "results.json")
    assert after.stages == before.stages
    assert after.command == "expertgen run toy"


def test_inputs_can_be_given_instead_of_made(tmp_path):
    folder = tmp_path / "first"
    folder.mkdir()
    config = replace(toy_config(folder), until="prior")
    drain(run(config, folder, "first"))
    given = replace(config, program=None, prior_file=folder / "prior" / "prior.safetensors", until="expert")
    results = drain(run(given, tmp_path / "second", "second"))
    assert "demos" not in results.stages
    assert "expert" in results.stages
    first, second = (tmp_path / name / "prior" / "prior.safetensors" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_an_evaluation_makes_no_more_environments_than_it_plays_episodes(tmp_path, monkeypatch):
    sizes = []

    def counted(task, num_envs, **options):
        sizes.append(num_envs)
        return make_env(task, num_envs, **options)

    monkeypatch.setattr(measure, "make_env", counted)
    config = replace(toy_config(tmp_path / "run"), evaluation=EvaluationConfig(episodes=3, num_envs=64))
    policy = PriorPolicy(DiffusionPrior("toy-point", PriorConfig(chunk_length=4, width=8), 4, 2))
    assert drain(measure.measure(config, tmp_path / "prior", policy)).episodes == 3
    assert sizes == [3]


def test_the_debug_preset_goes_all_the_way_on_metaworld(tmp_path, capsys):
    pytest.importorskip("metaworld", reason="the extra vision is not installed")
    pytest.importorskip("matplotlib", reason="the extra report is not installed")
    folder = tmp_path / "run"
    assert main(["run", "peg-insert-side", "--preset", "debug", "--out", str(folder)]) == 0
    results = Results.load(folder / "results.json")
    wanted = {"demos", "prior", "zero_noise", "constant_noise", "expert", "teacher"}
    assert results.stages.keys() == wanted | {"student", "bc_student", "blind_student"}
    for name, evaluation in results.stages.items():
        assert 0 <= evaluation.low <= evaluation.success <= evaluation.high <= 1, name
    report = (folder / "report.html").read_text()
    assert "peg-insert-side" in report
    assert main(["run", "--resume", str(folder)]) == 0
    assert Results.load(folder / "results.json").stages == results.stages
    assert main(["run", "assembly", "--resume", str(folder)]) == 2
    capsys.readouterr()
    assert main(["eval", str(folder), "--json", "--episodes", "16"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["student"]["success"] == results.stages["student"].success
