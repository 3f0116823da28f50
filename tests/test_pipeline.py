"""The whole way: on the toy in seconds, killed at random moments; on MetaWorld once, down to the camera student."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from expertgen.cli import main
from expertgen.demos.collect import CollectConfig
from expertgen.evaluation.results import Results
from expertgen.pipeline import measure
from expertgen.pipeline.measure import evaluate_run
from expertgen.pipeline.run import run
from expertgen.pipeline.settings import EvaluationConfig, RunConfig
from expertgen.prior.prior import DiffusionPrior, PriorConfig, PriorPolicy
from expertgen.rl.sac import SacConfig
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from expertgen.steering.steer import SteerConfig
from expertgen.tasks.registry import make_env
from tests.killing import finish, finish_killed_at_random_times
from tests.toys import point_task

POINT = replace(point_task(), simulator="tests.toys:make_point_env")

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


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in TIMES}
    return value


def test_a_killed_run_ends_with_the_same_numbers(tmp_path):
    seconds = finish(do_run, tmp_path / "whole")
    kills = finish_killed_at_random_times(do_run, tmp_path / "killed", seconds, seed=1)
    assert kills > 1
    whole, killed = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "killed"))
    assert without_times(whole) == without_times(killed)
    for stage in ("prior", "expert"):
        rows = [[without_times(row) for row in read_metrics(tmp_path / name / stage)] for name in ("whole", "killed")]
        assert rows[0] == rows[1]
        assert rows[0]
        file = f"{stage}/{stage}.safetensors"
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "killed" / file).read_bytes()
    assert {"demos", "prior", "zero_noise", "constant_noise", "expert"} <= whole.keys()
    again = drain(evaluate_run(tmp_path / "whole", 16, 999))
    assert again.stages["expert"].success == whole["expert"]["success"]
    assert again.stages["prior"].success == whole["prior"]["success"]


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
