"""Robustness of the policies of a run: paired, read back, killed at random moments, shown."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expertgen.cli import main
from expertgen.errors import FileError, UsageError
from expertgen.evaluation.robustness import UNDISTURBED, Robustness, Share, Trial
from expertgen.evaluation.statistics import wilson_interval
from expertgen.pipeline import robustness as pipeline
from expertgen.pipeline.robustness import measure_robustness
from expertgen.runs.files import read_json
from expertgen.runs.progress import drain
from tests.killing import finish, finish_killed
from tests.test_pipeline import do_run

WORDS = ("latency=2", "actuation_noise")


def disturb(folder: Path) -> None:
    drain(measure_robustness(folder, 16, WORDS))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "run"
    do_run(folder)
    return folder


@pytest.fixture(scope="module")
def measured(run):
    folder = run.with_name("measured")
    shutil.copytree(run, folder)
    return folder, finish(disturb, folder)


def test_recovery_by_hand(tmp_path):
    trials = (
        Trial("expert", UNDISTURBED, 0.0, "11101"),
        Trial("expert", "latency", 2.0, "10011"),
        Trial("prior", UNDISTURBED, 0.0, "00000"),
        Trial("prior", "latency", 2.0, "00100"),
    )
    robustness = Robustness("toy", 5, 2, 999, trials)
    assert trials[1].success == Share(3, 5)
    # Of the episodes 0, 1, 2 and 4, which succeed undisturbed, 0 and 4 still do; that 3 now does counts for nothing.
    assert robustness.recovery(trials[1]) == Share(2, 4)
    assert (Share(2, 4).value, Share(2, 4).low, Share(2, 4).high) == (0.5, *wilson_interval(2, 4))
    assert [robustness.recovery(trial) for trial in (trials[0], *trials[2:])] == [None] * 3
    assert robustness.disturbances() == [(UNDISTURBED, 0.0), ("latency", 2.0)]
    robustness.save(tmp_path / "robustness.json")
    assert Robustness.load(tmp_path / "robustness.json") == robustness
    row = read_json(tmp_path / "robustness.json")["trials"][1]
    low, high = wilson_interval(2, 4)
    assert row["recovery"] == {"value": 0.5, "low": low, "high": high, "of": 4}
    assert read_json(tmp_path / "robustness.json")["trials"][3]["recovery"] is None


@pytest.mark.parametrize("change", [{"format": 1}, {"episodes": 4}, {"trials": None}, {"trials": [{}]}])
def test_a_file_of_another_form_is_refused(change, tmp_path):
    path = tmp_path / "robustness.json"
    Robustness("toy", 5, 2, 999, (Trial("expert", UNDISTURBED, 0.0, "11101"),)).save(path)
    path.write_text(json.dumps(read_json(path) | change))
    with pytest.raises(FileError, match=r"robustness\.json is not a robustness file"):
        Robustness.load(path)


def test_undisturbed_it_is_what_the_evaluation_saw(measured):
    folder, _ = measured
    robustness = Robustness.load(folder / "robustness.json")
    assert robustness.policies() == ["prior", "expert", "zero_noise", "constant_noise"]
    tried = [("none", 0), ("actuation_noise", 0.1), ("actuation_noise", 0.3), ("actuation_noise", 0.6), ("latency", 2)]
    assert robustness.disturbances() == tried
    for policy in robustness.policies():
        episodes = read_json(folder / policy / "episodes.json")["episodes"]
        outcomes = "".join(str(int(episode["success"])) for episode in episodes)
        assert robustness.find(policy, UNDISTURBED, 0.0).outcomes == outcomes
    assert len({trial.outcomes for trial in robustness.trials}) > 4


@pytest.mark.parametrize("moment", ["time", "file"])
def test_killed_it_ends_with_the_same_file(moment, measured, run):
    folder, seconds = measured
    killed = run.with_name(f"killed-{moment}")
    shutil.copytree(run, killed)
    finish_killed(disturb, killed, seconds, moment, seed=3)
    assert (killed / "robustness.json").read_bytes() == (folder / "robustness.json").read_bytes()


def test_what_was_played_is_read_back_and_more_can_be_added(measured, tmp_path, monkeypatch):
    folder = shutil.copytree(measured[0], tmp_path / "run")
    played, run_episodes = [], pipeline.run_episodes

    def watched(env, *rest):
        played.append(env)
        return run_episodes(env, *rest)

    monkeypatch.setattr(pipeline, "run_episodes", watched)
    before = Robustness.load(folder / "robustness.json").trials
    assert drain(measure_robustness(folder, 16, ["latency=2"])).trials == before
    assert not played
    more = drain(measure_robustness(folder, 16, ["latency=3", "latency=2"], ["expert"])).trials
    assert len(played) == 1
    assert more[:-1] == before
    assert more[-1].key == ("expert", "latency", 3.0)
    # A trial is the same whatever was played before it.
    (folder / "robustness.json").unlink()
    alone = drain(measure_robustness(folder, 16, ["actuation_noise=0.3"], ["prior"])).trials[-1]
    assert alone in before


def test_wrong_questions_get_one_line(run, tmp_path, capsys):
    for words, said in (
        (["--perturbations", "gripper_open"], "'toy-point' does not allow perturbation 'gripper_open'; it allows act"),
        (["--policies", "exprt"], "--policies: this run has no 'exprt'; did you mean 'expert'?; it has prior, expert"),
        (["--episodes", "0"], "--episodes must be at least 1, not 0"),
    ):
        assert main(["robustness", str(run), *words]) == 2
        assert said in capsys.readouterr().err
    assert main(["robustness", str(tmp_path)]) == 2
    assert "results.json does not exist" in capsys.readouterr().err
    assert not (run / "robustness.json").exists()


def test_a_policy_without_its_files_is_told(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "constant_noise" / "noise.safetensors").unlink()
    with pytest.raises(FileError, match=r"noise\.safetensors is missing, the file of 'constant_noise'; name"):
        drain(measure_robustness(folder, 2, ["latency=2"], ["prior", "constant_noise"]))
    assert not (folder / "robustness.json").exists(), "nothing was played in vain"


def test_trials_of_a_policy_that_was_made_anew_are_refused(measured, tmp_path):
    folder = shutil.copytree(measured[0], tmp_path / "run")
    expert = folder / "expert" / "expert.safetensors"
    expert.write_bytes(expert.read_bytes() + b" ")
    with pytest.raises(FileError, match=r"robustness\.json holds trials of 'expert' before it was made anew"):
        drain(measure_robustness(folder, 16, ["latency=2"], ["expert"]))
    assert drain(measure_robustness(folder, 16, ["latency=2"], ["prior"])).trials


def test_another_number_of_episodes_is_refused(measured):
    with pytest.raises(UsageError, match=r"holds trials of 16 episodes, not 8; use --episodes 16, or delete it"):
        drain(measure_robustness(measured[0], 8))


def test_it_is_shown_in_the_terminal_and_in_the_report(measured, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
    pytest.importorskip("jinja2", reason="the extra 'report' is not installed")
    from tests.reporting.test_report import Page

    folder = shutil.copytree(measured[0], tmp_path / "run")
    # This run's expert has hardly learnt anything and may never succeed, so the outcomes are set by hand.
    path = folder / "robustness.json"
    first = next(trial for trial in Robustness.load(path).trials if trial.policy == "expert")
    by_hand = ((UNDISTURBED, 0.0, "1" * 12 + "0" * 4), ("latency", 2.0, "10" * 8), ("actuation_noise", 0.2, "1" * 16))
    trials = [replace(first, perturbation=name, strength=at, outcomes=how) for name, at, how in by_hand]
    replace(Robustness.load(path), trials=tuple(trials)).save(path)
    words = ["--episodes", "16", "--policies", "expert", "--perturbations", "latency=2"]
    assert main(["robustness", str(folder), *words]) == 0
    said = capsys.readouterr().out
    assert "Latency of actions" in said
    assert max(len(line.rstrip()) for line in said.splitlines() if "Latency" in line) <= 80
    page = Page(folder / "report.html")
    assert "Robustness" in page.headings
    recovery = Robustness.load(folder / "robustness.json")
    share = recovery.recovery(recovery.find("expert", "latency", 2.0))
    assert f"{100 * share.low:.1f}–{100 * share.high:.1f}%" in page.text
    assert "Actuation noise" in page.text
    assert len(page.ids) == len(set(page.ids))
    assert "#0a0b" not in page.html
    assert np.isfinite(share.value)
