"""The command line: what wrong input gets is one line, exit code 2, and nothing written."""

import json

import pytest

from expertgen.cli import main, runs
from expertgen.demos.imperfections import Imperfections
from expertgen.prior.prior import DiffusionPrior, PriorConfig
from expertgen.steering.expert import Expert
from tests.toys import point_demos

REFUSED = {
    "unknown verb": (["rnu"], "unknown verb 'rnu'; did you mean 'run'"),
    "no task": (["run"], "which task?"),
    "unknown task": (["run", "peg-insert-sid"], "did you mean 'peg-insert-side'"),
    "task without success": (["run", "hopper"], "no success rule"),
    "unknown preset": (["run", "assembly", "--preset", "debgu"], "did you mean 'debug'"),
    "unknown flag": (["run", "assembly", "--steer.num-env", "3"], "--steer.num-envs"),
    "wrong type": (["run", "assembly", "--seed", "x"], "invalid literal for int"),
    "negative seed": (["run", "assembly", "--seed", "-1"], "seed must not be negative"),
    "no environments": (["run", "assembly", "--steer.num-envs", "0"], "steer.num_envs must be at least 1"),
    "only warm-up": (["run", "assembly", "--steer.env-steps", "9000"], "steer.warmup_env_steps (16000) must be less"),
    "no demonstrator": (["run", "adroit-door"], "'adroit-door' has no scripted demonstrator; give one with --program"),
    "long chunk": (["run", "assembly", "--prior.chunk-length", "300"], "prior.chunk_length (300) exceeds the horizon"),
    "noise bound": (["run", "assembly", "--steer.noise-bound", "0"], "steer.noise_bound must be positive"),
    "unknown device": (["run", "assembly", "--device", "abacus"], "device 'abacus' cannot be used"),
    "missing file": (["prior", "assembly", "--demos-file", "nowhere.h5"], "demos_file: nowhere.h5 does not exist"),
    "resume nothing": (["run", "--resume", "nowhere"], "it is not a run folder"),
    "no demos action": (["demos"], "expertgen demos takes one of"),
    "not HDF5": (["demos", "show", "text.yaml"], "text.yaml"),
    "no run to report": (["report", "."], "is not a run folder"),
    "no run to evaluate": (["eval", "."], "does not exist"),
    "no episodes": (["eval", ".", "--episodes", "0"], "--episodes must be at least 1"),
    "unknown setting in file": (["run", "assembly", "--config", "text.yaml"], "unknown setting 'steer.num_envz'"),
    "wrong type in file": (["run", "assembly", "--config", "type.yaml"], "steer.num_envs must be of type int"),
    "file is no mapping": (["run", "assembly", "--config", "list.yaml"], "must hold a mapping"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_input_is_refused_in_one_line_and_nothing_is_written(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.yaml").write_text("steer:\n  num_envz: 3\n")
    (tmp_path / "type.yaml").write_text("steer:\n  num_envs: many\n")
    (tmp_path / "list.yaml").write_text("- steer\n")
    before = sorted(tmp_path.rglob("*"))
    words, said = REFUSED[name]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("expertgen: ")
    assert sorted(tmp_path.rglob("*")) == before


def small_expert():
    from expertgen.rl.networks import TanhGaussianActor
    from expertgen.rl.sac import SacConfig

    prior, config = DiffusionPrior("assembly", PriorConfig(width=8), 39, 4), SacConfig(width=16, depth=2)
    return Expert(prior, TanhGaussianActor(39, 32, 16, 2), config, 1.5, "mean", 0.9)


def test_files_of_another_task_or_kind_are_refused_before_anything_is_written(tmp_path, capsys):
    prior = DiffusionPrior("assembly", PriorConfig(width=8), 39, 4)
    prior.save(tmp_path / "prior.safetensors")
    DiffusionPrior("box-close", PriorConfig(width=8), 39, 3).save(tmp_path / "three.safetensors")
    DiffusionPrior("box-close", PriorConfig(chunk_length=201, width=8), 39, 4).save(tmp_path / "long.safetensors")
    small_expert().save(tmp_path / "expert.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "prior.safetensors").read_bytes()[:-100])
    point_demos(2, seed=0).save(tmp_path / "toy.h5")
    for flag, file, said in (
        ("--prior-file", "prior.safetensors", "was trained for 'assembly'"),
        ("--expert-file", "prior.safetensors", "holds a 'prior', not a 'expert'"),
        ("--expert-file", "expert.safetensors", "was trained for 'assembly'"),
        ("--prior-file", "three.safetensors", "plans 3 action dimensions, but 'box-close' has 4"),
        ("--prior-file", "long.safetensors", "plans chunks of 201 steps, which exceed the horizon of 'box-close' (200"),
        ("--prior-file", "cut.safetensors", "truncated"),
        ("--demos-file", "toy.h5", "demonstrations of 'toy-point'"),
    ):
        out = tmp_path / "run"
        assert main(["run", "box-close", flag, str(tmp_path / file), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert not out.exists()


def test_a_folder_that_holds_something_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "precious").write_text("data")
    assert main(["run", "assembly", "--out", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "precious").read_text() == "data"


def test_help_and_lists_exit_with_zero(capsys):
    assert main([]) == 0
    assert main(["tasks", "peg-insert-side"]) == 0
    assert main(["tasks"]) == 0
    with pytest.raises(SystemExit) as stop:
        main(["run", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "--steer.noise-bound" in text
    assert "hand_position" in text


def test_settings_come_from_preset_file_and_flags_in_this_order(tmp_path, monkeypatch):
    file = tmp_path / "settings.yaml"
    file.write_text("steer: {num_envs: 7, noise_bound: 2}\nprior: {weight_decay: 1e-6}\n")
    words = ["assembly", "--preset", "debug", "--config", str(file), "--steer.num-envs", "9", "--out", "new"]
    monkeypatch.chdir(tmp_path)
    folder, config = runs._resolve(words, "run", {})
    assert str(folder) == "new"
    assert config.task == "assembly"
    assert config.steer.num_envs == 9
    assert config.steer.noise_bound == 2.0
    assert config.prior.weight_decay == 1e-6
    assert config.steer.env_steps == 12_000


def test_a_task_has_its_own_imperfections_unless_others_are_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, wanted in (
        (["assembly"], Imperfections(0.015, 0.3)),
        (["drawer-open"], Imperfections(0.08, 0.3)),
        (["drawer-open", "--preset", "debug"], Imperfections(0.08, 0.3)),
        (["drawer-open", "--demos.imperfections.calibration-error", "0.015"], Imperfections(0.015, 0.3)),
        (["drawer-open", "--demos.imperfections.latency", "2"], Imperfections(0.08, 0.3, latency=2)),
    ):
        assert runs._resolve(words, "run", {})[1].demos.imperfections == wanted


def test_interruption_says_how_to_resume(tmp_path, monkeypatch, capsys):
    def interrupted(config, folder, command):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(runs, "run", interrupted)
    assert main(["run", "assembly", "--out", str(tmp_path / "run")]) == 1
    assert f"continue with: expertgen run --resume {tmp_path / 'run'}" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert main(["run", "assembly", "--out", str(blocked / "run")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_demos_are_shown_and_imported(tmp_path, capsys):
    point_demos(3, seed=0).save(tmp_path / "toy.h5")
    assert main(["demos", "show", str(tmp_path / "toy.h5")]) == 0
    assert "toy-point" in capsys.readouterr().out


def test_results_of_eval_are_json(tmp_path, monkeypatch, capsys):
    from expertgen.evaluation.results import Results

    def nothing(folder, episodes, seed):
        return Results("assembly", seed, "expertgen run assembly", {}, 1.0, {})
        yield

    monkeypatch.setattr(runs, "evaluate_run", nothing)
    assert main(["eval", str(tmp_path), "--json", "--env-seed", "5"]) == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 5


def test_expert_files_hold_their_prior(tmp_path):
    small_expert().save(tmp_path / "expert.safetensors")
    loaded = Expert.load(tmp_path / "expert.safetensors")
    assert loaded.prior.task == "assembly"
    assert loaded.validated == 0.9
