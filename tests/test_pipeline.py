"""The whole way: on the toy in seconds, killed at random moments; on MetaWorld, down to the camera student."""

import json
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from expertgen.baselines.direct import DirectConfig
from expertgen.baselines.dppo import DppoConfig
from expertgen.baselines.ibrl import IbrlConfig
from expertgen.baselines.residual import ResidualConfig
from expertgen.cli import main
from expertgen.demos.collect import CollectConfig
from expertgen.errors import FileError, UsageError
from expertgen.evaluation.results import CONTROLS, STAGES, Results
from expertgen.pipeline import measure, students
from expertgen.pipeline.measure import evaluate_run
from expertgen.pipeline.run import run
from expertgen.pipeline.settings import EvaluationConfig, RunConfig
from expertgen.prior.prior import DiffusionPrior, PriorConfig, PriorPolicy
from expertgen.reporting.noise import NoisePicture
from expertgen.rl.networks import TanhGaussianActor
from expertgen.rl.sac import SacConfig
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from expertgen.steering.expert import Expert, ExpertPolicy
from expertgen.steering.noise import NoiseSpace
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

TIMES = ("seconds", "started", "peak_memory_mb")


def toy_config(folder: Path) -> RunConfig:
    program = folder.parent / "program.py"
    program.write_text(PROGRAM)
    return RunConfig(
        "tests.test_pipeline:POINT",
        program=(program,),
        until="expert",
        demos=CollectConfig(episodes=16, num_envs=8),
        prior=PriorConfig(chunk_length=4, width=32, depth=1, iterations=300),
        steer=SteerConfig(
            num_envs=8,
            env_steps=3000,
            segment_env_steps=1000,
            warmup_env_steps=500,
            validation_episodes=8,
            sac=SacConfig(width=32, depth=2),
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
            sac=SacConfig(width=16, depth=1),
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


@pytest.mark.parametrize("method", ["residual", "direct", "ibrl", "self-imitation", "dppo"])
def test_a_baseline_takes_the_experts_place(tmp_path, method):
    config = toy_config(tmp_path / "run")
    sac = SacConfig(width=16, depth=1)
    options = {
        "residual": ResidualConfig(sac=sac),
        "direct": DirectConfig(chunk_length=2, sac=sac),
        "ibrl": IbrlConfig(sac=sac),
        "dppo": DppoConfig(width=16, depth=1, rounds=4),
    }
    config = replace(config, method=method, **options, steer=replace(config.steer, env_steps=1200))
    results = drain(run(config, tmp_path / "run", "expertgen run toy"))
    assert f"method {method}" in results.notes["expert"]
    assert results.stages["expert"].env_steps >= 1200
    again = drain(evaluate_run(tmp_path / "run", 16, 999, "expertgen eval toy"))
    assert again.stages["expert"].to_json() == results.stages["expert"].to_json()


def test_a_run_has_everything_and_is_evaluated_again(whole):
    folder, _ = whole
    results = Results.load(folder / "results.json")
    assert results.stages.keys() == {"demos", "prior", "zero_noise", "constant_noise", "expert"}
    assert all(read_metrics(folder / stage) for stage in ("prior", "expert"))
    about = json.loads((folder / "run.json").read_text())
    assert datetime.fromisoformat(about["started"]).tzinfo
    assert about["seconds"] > results.stages["expert"].seconds
    again = drain(evaluate_run(folder, 16, 999, "expertgen eval toy"))
    assert again.command == "expertgen eval toy"
    assert again.to_json().keys() == results.to_json().keys()
    for name, evaluation in again.stages.items():
        assert evaluation.to_json() == results.stages[name].to_json(), name


def test_the_noise_in_the_picture_is_the_noise_that_was_played(tmp_path):
    config = replace(toy_config(tmp_path / "run"), evaluation=EvaluationConfig(episodes=5, num_envs=2))
    torch.manual_seed(0)
    prior = DiffusionPrior("toy-point", PriorConfig(chunk_length=4, width=8, depth=1), 4, 2)
    agent = SacConfig(width=8, depth=1)
    policy = ExpertPolicy(Expert(prior, TanhGaussianActor(4, 8, 8, 1), agent, NoiseSpace(), "sampled", 0.5))
    env, played = make_env(get_task(config.task), 2), {0: [], 1: []}
    plan = policy.plan

    def plan_and_tell(observation, ids):
        chunk = plan(observation, ids)
        for i, noise in zip(ids.tolist(), policy.noise, strict=True):
            played[i].append(noise.numpy())
        return chunk

    policy.plan = plan_and_tell
    drain(measure.measure(config, tmp_path / "expert", policy, env=env))
    picture = NoisePicture.load(tmp_path / "expert" / "noise.json")
    wanted = NoisePicture.project(np.array(played[0] + played[1]), picture.success, 1.5)
    np.testing.assert_allclose(picture.steered, wanted.steered, atol=6e-4)


def test_a_prior_is_probed_before_it_is_measured(tmp_path, monkeypatch):
    def ignores_noise(*arguments):
        raise UsageError("the prior ignores its noise")

    monkeypatch.setattr("expertgen.pipeline.run.probe", ignores_noise)
    folder = tmp_path / "run"
    with pytest.raises(UsageError, match="ignores its noise"):
        do_run(folder)
    assert (folder / "prior" / "prior.safetensors").exists()
    assert not (folder / "prior" / "evaluation.json").exists()


def test_a_broken_file_of_a_run_can_be_deleted(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole[0], folder)
    path = folder / "prior" / "prior.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileError, match=r"prior\.safetensors is truncated .* delete it and --resume redoes that part"):
        do_run(folder)
    path.unlink()
    do_run(folder)
    assert path.read_bytes() == (whole[0] / "prior" / "prior.safetensors").read_bytes()


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


@pytest.mark.timeout(900)
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
    for name, evaluation in results.stages.items():
        assert again[name]["success"] == evaluation.success
        assert again[name]["env_steps"] == evaluation.env_steps
