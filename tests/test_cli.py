"""The command line: what wrong input gets is one line, exit code 2, and nothing written."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from expertgen.cli import main, parsing, runs
from expertgen.cli.options import resolve
from expertgen.demos.imperfections import Imperfections
from expertgen.demos.scripted import default_imperfections
from expertgen.pipeline.settings import default_settings
from expertgen.prior.prior import DiffusionPrior, PriorConfig
from expertgen.steering.expert import Expert
from expertgen.steering.noise import NoiseSpace
from expertgen.tasks import registry
from expertgen.tasks.audit_record import AuditRecord, TaskAudit
from expertgen.tasks.registry import get_task
from tests.toys import point_demos, point_task

TOY = "tests.test_pipeline:POINT"
NOWHERE = replace(point_task(), simulator="gymnasium", simulator_id="Nowhere-v0")

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
    "seed of the evaluation": (
        ["run", "assembly", "--seed", "999"],
        "seed 999 is that of the episodes on which experts",
    ),
    "huge seed": (["run", "assembly", "--seed", "99999999999999999999"], "seed must not be negative, and below 2**63"),
    "no number": (
        ["run", "assembly", "--distill.learning-rate", "nan"],
        "learning_rate must be positive, not nan",
    ),
    "no number in file": (
        ["run", "assembly", "--config", "nan.yaml"],
        "randomization.position must not be negative",
    ),
    "unknown camera": (["run", "assembly", "--distill.cameras", "sid"], "has no camera 'sid'; did you mean 'side'?"),
    "no camera": (["run", "assembly", "--config", "blind.yaml"], "distill.cameras names none; 'assembly' has front"),
    "no cameras to distil for": (["distill", TOY, "--program", "p.py"], "has no cameras, so there is no student"),
    "nothing to do": (["distill", TOY, "--expert-file", "p.py"], "nothing is left to do: the first stage would be"),
    "nothing to steer": (["steer", "assembly", "--expert-file", "p.py"], "nothing is left to do: the first stage"),
    "fixed last stage": (["prior", "assembly", "--until", "student"], "Unrecognized options: --until"),
    "unknown simulator": (["run", "tests.test_cli:NOWHERE", "--program", "p.py"], "Gymnasium cannot make 'Nowhere-v0'"),
    "tasks flag": (["tasks", "--foo"], "Unrecognized options: --foo"),
    "two tasks": (["tasks", "reach", "assembly"], "Unrecognized options: assembly"),
    "doctor flag": (["doctor", "--foo"], "Unrecognized options: --foo"),
    "no audit": (["tasks", "audit", "adroit-door"], "only MetaWorld tasks can be audited"),
    "negative evaluation seed": (["eval", ".", "--env-seed", "-1"], "--env-seed must not be negative"),
    "no demonstrator": (["run", "adroit-door"], "'adroit-door' has no scripted demonstrator; give one with --program"),
    "long chunk": (["run", "assembly", "--prior.chunk-length", "300"], "prior.chunk_length (300) exceeds the horizon"),
    "noise rank": (
        ["run", "assembly", "--steer.noise-rank", "5"],
        "steer.noise_rank (5) exceeds the chunk's length (4)",
    ),
    "residual of nothing": (
        ["steer", "assembly", "--method", "residual", "--residual.scale", "0"],
        "residual.scale must lie in (0, 2], not 0.0",
    ),
    "baseline to distil": (["run", "assembly", "--method", "direct"], "method 'direct' makes no expert to distil"),
    "no dense reward": (
        ["steer", "adroit-door", "--method", "direct", "--direct.reward", "dense", "--direct.demo-share", "0"],
        "task 'adroit-door' has no dense reward; set direct.reward to sparse",
    ),
    "dense demonstrations": (
        ["steer", "assembly", "--method", "direct", "--direct.reward", "dense"],
        "set direct.demo_share to 0",
    ),
    "late update": (
        ["steer", "assembly", "--method", "dppo", "--dppo.rounds", "500"],
        "dppo.rounds puts the first update at env step 384000, behind steer.env_steps (280000)",
    ),
    "too few updates": (
        ["steer", "assembly", "--method", "residual", "--steer.num-envs", "4"],
        "residual.updates_per_step (0.125) is less than one update a round of 4 environments",
    ),
    "noises of demonstrations": (
        ["steer", "assembly", "--steer.demo-share", "0.1", "--steer.noise-rank", "1"],
        "steer.demo_share does not fit steer.noise_rank 1",
    ),
    "no deviation": (
        ["steer", "assembly", "--method", "dppo", "--dppo.likelihood-deviation", "0"],
        "dppo.likelihood_deviation must be positive",
    ),
    "option of an option": (
        ["steer", "assembly", "--residual.sac.n-step", "0"],
        "residual.sac.n_step must be at least 1, not 0",
    ),
    "long direct chunk": (
        ["steer", "assembly", "--method", "direct", "--direct.chunk-length", "300"],
        "direct.chunk_length (300) exceeds the horizon",
    ),
    "unknown perturbation": (
        ["run", "assembly", "--steer.perturbations", "gripper_opened"],
        "task 'assembly' does not allow perturbation 'gripper_opened'; did you mean 'gripper_open'?",
    ),
    "noise bound": (["run", "assembly", "--steer.noise-bound", "0"], "steer.noise_bound must be positive"),
    "unknown device": (["run", "assembly", "--device", "abacus"], "device 'abacus' cannot be used"),
    "missing file": (["prior", "assembly", "--demos-file", "nowhere.h5"], "demos_file: nowhere.h5 does not exist"),
    "resume nothing": (["run", "--resume", "nowhere"], "it is not a run folder"),
    "mbrl, no task": (["mbrl"], "which task? For example: expertgen mbrl inverted-double-pendulum"),
    "mbrl, unknown task": (["mbrl", "hoper"], "did you mean 'hopper'"),
    "mbrl, unknown weighting": (["mbrl", "hopper", "--weighting", "tom"], "invalid choice"),
    "mbrl, vagram": (
        ["mbrl", "hopper", "--weighting", "vagram", "--ensemble", "gaussian"],
        "vagram trains no variance",
    ),
    "mbrl, no termination rule": (["mbrl", "assembly", "--termination", "rule"], "--termination learned"),
    "mbrl, planner": (["mbrl", "hopper", "--planner.horizon", "0"], "planner.horizon must be at least 1, not 0"),
    "mbrl, no number": (["mbrl", "hopper", "--agent.target-entropy", "nan"], "agent.target_entropy must be a finite"),
    "mbrl, long rollouts": (
        ["mbrl", "hopper", "--mbpo.rollout-transitions", "9"],
        "a rollout of 15 steps is longer than mbpo.rollout_transitions (9)",
    ),
    "mbrl, unknown setting in file": (["mbrl", "hopper", "--config", "text.yaml"], "unknown setting 'steer'"),
    "mbrl, discrete actions": (
        ["mbrl", "tests.mbrl.toy:CART", "--termination", "learned"],
        "task 'toy-cart' needs a bounded continuous action space, got Discrete(2)",
    ),
    "mbrl, resume nothing": (["mbrl", "--resume", "nowhere"], "it is not a run folder"),
    "suite, no number": (["suite", "quick", "--seeds", "x"], "could be instantiated from ['x']; see expertgen suite"),
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
    (tmp_path / "nan.yaml").write_text("distill:\n  randomization:\n    position: .nan\n")
    (tmp_path / "blind.yaml").write_text("distill: {cameras: []}\n")
    (tmp_path / "p.py").write_text(
        "class Program:\n    def reset(self, seed): pass\n    def act(self, o): return [0, 0]\n"
    )
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
    return Expert(prior, TanhGaussianActor(39, 16, 16, 2), config, NoiseSpace(), "mean", 0.9)


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
    assert main(["--version"]) == 0
    assert main(["demos", "--help"]) == 0
    assert main(["tasks", "peg-insert-side"]) == 0
    assert main(["tasks"]) == 0
    for verb in ("run", "tasks", "doctor"):
        with pytest.raises(SystemExit) as stop:
            main([verb, "--help"])
        assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "--steer.noise-bound" in text
    assert "hand_position" in text


def test_settings_come_from_preset_file_and_flags_in_this_order(tmp_path, monkeypatch):
    file = tmp_path / "settings.yaml"
    file.write_text("steer: {num_envs: 7, noise_bound: 2}\nprior: {weight_decay: 1e-6}\n")
    words = ["assembly", "--preset", "debug", "--config", str(file), "--steer.num-envs", "9", "--out", "new"]
    monkeypatch.chdir(tmp_path)
    folder, config = resolve(words, "run")
    assert str(folder) == "new"
    assert config.task == "assembly"
    assert config.steer.num_envs == 9
    assert config.steer.noise_bound == 2.0
    assert config.prior.weight_decay == 1e-6
    assert config.steer.env_steps == 12_000


def test_values_are_checked_when_all_of_them_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.yaml").write_text("steer: {env_steps: 10000}\nuntil: student\n")
    for words, steps, warmup in (
        (["--preset", "debug", "--steer.env-steps", "12000"], 12_000, 3_000),
        (["--config", "short.yaml", "--steer.warmup-env-steps", "2000"], 10_000, 2_000),
        (["--config", "short.yaml", "--preset", "debug"], 10_000, 3_000),
    ):
        steer = resolve(["assembly", *words, "--tensorboard"], "run")[1].steer
        assert (steer.env_steps, steer.warmup_env_steps) == (steps, warmup)


def test_a_verb_ends_at_its_own_stage_whatever_a_file_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "whole.yaml").write_text("until: student\n")
    words = ["assembly", "--config", "whole.yaml"]
    assert resolve(words, "prior", "prior")[1].until == "prior"
    assert resolve(words, "run")[1].until == "student"
    assert resolve([*words, "--until", "expert"], "run")[1].until == "expert"


def test_a_resumed_run_takes_no_other_settings(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"task": "assembly", "seed": 3}')
    assert resolve(["--resume", str(tmp_path)], "run")[1].seed == 3
    assert resolve(["assembly", f"--resume={tmp_path}"], "run")[1].seed == 3
    for flags in (["--seed", "3"], ["--steer.noise-bound=2"], ["--preset", "debug"], ["--out", "x"], ["--tensorboard"]):
        assert main(["run", "--resume", str(tmp_path), *flags]) == 2
        error = capsys.readouterr().err
        assert f"continues with the settings of that run; leave {flags[0].split('=')[0]} out" in error
        assert error.count("\n") == 1


def test_a_prior_that_cannot_be_steered_is_refused_by_its_file(tmp_path, capsys):
    prior, out = DiffusionPrior("toy-point", PriorConfig(chunk_length=4, width=8), 4, 2), tmp_path / "run"
    torch.nn.init.constant_(next(prior.network.parameters()), float("nan"))
    prior.save(tmp_path / "nan.safetensors")
    for verb in ("prior", "steer"):
        assert main([verb, TOY, "--prior-file", str(tmp_path / "nan.safetensors"), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert f"prior_file {tmp_path / 'nan.safetensors'}: the prior plans actions that are not finite" in error
        assert not out.exists()


def test_demonstrations_without_a_success_are_told_at_once_and_at_the_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runs, "write_report", lambda folder: folder)
    monkeypatch.setattr(parsing.CONSOLE, "width", 300)
    demos = point_demos(4, seed=0)
    replace(demos, demos=tuple(replace(demo, success=False) for demo in demos.demos)).save(tmp_path / "zero.h5")
    words = ["--demos-file", str(tmp_path / "zero.h5"), "--preset", "debug", "--prior.iterations", "2"]
    assert main(["prior", TOY, *words, "--evaluation.constant-noises", "0", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "warning: no demonstration succeeds" in said
    assert said.index("warning: no demonstration succeeds") < said.index("made in")
    assert "Demonstrations: no demonstration succeeds" in said


def test_an_audit_fails_where_a_task_that_trains_in_envpool_is_unsound_there(monkeypatch, capsys):
    def audited(tasks):
        counts = {"reach": (12, 0), "shelf-place": (12, 0), "assembly": (12, 12)}
        return AuditRecord({}, {t.id: TaskAudit(t.id, 12, counts[t.id], (12, 12), 0.0, 80) for t in tasks})
        yield

    monkeypatch.setattr("expertgen.tasks.audit.audit_tasks", audited)
    assert main(["tasks", "audit", "assembly", "shelf-place"]) == 0  # known to be unsound, and trained elsewhere
    assert main(["tasks", "audit", "assembly", "shelf-place", "reach"]) == 1
    assert "unsound in EnvPool, which trains them: reach; install envpool==" in capsys.readouterr().err


def test_other_versions_than_the_audited_ones_are_told_once(monkeypatch, capsys):
    registry._warn_of_other_versions.cache_clear()
    monkeypatch.setattr("expertgen.tasks.audit_record.package_versions", lambda: {"envpool": "9.9", "torch": "1"})
    for _ in range(2):
        registry.make_env(registry.get_task("reach"), 1)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "here are {'envpool': '9.9'}: run expertgen tasks audit" in error


def test_a_task_has_its_own_imperfections_unless_others_are_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = default_imperfections(get_task("drawer-open"))
    assert own != Imperfections(0.015, 0.3)
    for words, wanted in (
        (["assembly"], Imperfections(0.015, 0.3)),
        (["drawer-open"], own),
        (["drawer-open", "--preset", "debug"], own),
        (["drawer-open", "--demos.imperfections.calibration-error", "0.015"], replace(own, calibration_error=0.015)),
        (["drawer-open", "--demos.imperfections.latency", "2"], replace(own, latency=2)),
    ):
        assert resolve(words, "run")[1].demos.imperfections == wanted


def test_interruption_says_how_to_resume(tmp_path, monkeypatch, capsys):
    def interrupted(config, folder, command):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(runs, "run", interrupted)
    assert main(["run", "assembly", "--out", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert "everything up to the last saved segment are kept" in error
    assert f"continue with: expertgen run --resume {tmp_path / 'run'}" in error


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

    def nothing(folder, episodes, seed, command):
        return Results("assembly", seed, command, {}, 1.0, {})
        yield

    monkeypatch.setattr(runs, "evaluate_run", nothing)
    assert main(["eval", str(tmp_path), "--json", "--env-seed", "5"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["seed"], value["command"]) == (5, f"expertgen eval {tmp_path} --json --env-seed 5")


def test_expert_files_hold_their_prior(tmp_path):
    small_expert().save(tmp_path / "expert.safetensors")
    loaded = Expert.load(tmp_path / "expert.safetensors")
    assert loaded.prior.task == "assembly"
    assert loaded.validated == 0.9


def test_mbrl_from_the_command_line_learns_resumes_and_says_where_the_report_is(tmp_path, capsys):
    small = (
        "--mbpo.env-steps 520 --mbpo.epoch-steps 20 --mbpo.rollout-transitions 30 "
        "--mbpo.updates-per-step 1 --mbpo.batch-size 16 --mbpo.evaluation-episodes 2 --final-episodes 2 "
        "--agent.width 8 --model.width 8 --training.max-steps 5 --training.min-epoch-steps 5"
    )
    folder = tmp_path / "run"
    assert main(["mbrl", "reacher", "--weighting", "recency", "--seed", "3", "--out", str(folder), *small.split()]) == 0
    said = capsys.readouterr().out
    assert "recency" in said
    assert str(folder / "report.html") in said.replace("\n", "")
    assert "mean return of the finished agent" in (folder / "report.html").read_text()
    results = json.loads((folder / "results.json").read_text())
    assert (results["task"], results["weighting"], results["seed"]) == ("reacher", "recency", 3)
    assert (results["env_steps"], results["updates"], results["episode_steps"]) == (520, 20, 50)
    (folder / "results.json").unlink()
    assert main(["mbrl", "--resume", str(folder)]) == 0
    again = json.loads((folder / "results.json").read_text())
    assert again["return"] == results["return"]
    assert main(["mbrl", "hopper", "--resume", str(folder)]) == 2
    assert "is a run of 'reacher', not of 'hopper'" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_gets_no_traceback():
    command = [sys.executable, "-c", "from expertgen.cli import main; raise SystemExit(main())", "mbrl", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_a_hand_has_another_prior_and_noise_of_fewer_numbers_than_an_arm():
    hand, arms, arm = (default_settings(task) for task in ("adroit-door", "bimanual-insertion", "peg-insert-side"))
    assert (hand.prior.width, hand.steer.noise_rank) == (256, 1)
    assert (arms.prior.width, arms.steer.noise_rank) == (256, 0)
    assert (arm.prior.width, arm.steer.noise_rank) == (128, 0)


@pytest.mark.parametrize(
    "words",
    [
        ["run", TOY],
        ["mbrl", "inverted-double-pendulum"],
        ["suite", "quick"],
        ["robustness", "run"],
    ],
    ids=lambda words: words[0],
)
def test_what_ends_with_a_report_is_refused_at_once_where_it_cannot_be_made(words, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(words) == 2
    assert "the report needs jinja2: pip install 'expertgen[report]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
