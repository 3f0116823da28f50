"""The kind `steer`: members that need the same prior make it once, and end as if each had made its own."""

import json

import pytest

from expertgen.errors import UsageError
from expertgen.evaluation.results import Results
from expertgen.runs.progress import drain
from expertgen.suite import priors, steering
from tests.test_pipeline import TIMES

SETTINGS = {
    "task": "drawer-open",
    "seed": 0,
    "preset": "debug",
    "demos": {"episodes": 4, "num_envs": 4},
    "prior": {"iterations": 20, "width": 16, "depth": 1},
    "steer": {
        "num_envs": 4,
        "env_steps": 800,
        "segment_env_steps": 400,
        "warmup_env_steps": 200,
        "validation_episodes": 2,
    },
    "evaluation": {"episodes": 4, "num_envs": 4, "constant_noises": 2},
}


def results(folder):
    """What a run measured, without times."""
    value = json.loads((folder / "results.json").read_text())
    stages = Results.load(folder / "results.json").stages
    return {name: {k: v for k, v in value[name].items() if k not in TIMES} for name in stages}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    drain(steering.run(steering.resolve(SETTINGS), folder / "run", folder / "common"))
    return folder


def test_a_prior_is_made_once_for_all_methods_of_a_seed(alone):
    made = (alone / "common").iterdir()
    (prior,) = [folder / "prior" / "prior.safetensors" for folder in made]
    before = prior.stat().st_mtime_ns
    other = steering.resolve({**SETTINGS, "steer": {**SETTINGS["steer"], "algorithm": "fast-td3"}})
    drain(steering.run(other, alone / "other", alone / "common"))
    assert prior.stat().st_mtime_ns == before
    assert len(list((alone / "common").iterdir())) == 1
    for name in ("run", "other"):
        assert (alone / name / "prior" / "prior.safetensors").read_bytes() == prior.read_bytes()
    first, second = results(alone / "run"), results(alone / "other")
    assert first.keys() == {"demos", "prior", "zero_noise", "constant_noise", "expert"}
    assert all(first[name] == second[name] for name in first if name != "expert")


def test_its_motion_is_read(alone):
    points = steering.read(steering.resolve(SETTINGS), alone / "run")
    motion = {point.measure: point.value for point in points if point.point == "motion"}
    stages = Results.load(alone / "run" / "results.json").stages
    assert motion.keys() == {"jerk", "jerk_ratio", "dtw", "saturation", "noise_norm"}
    assert motion["jerk_ratio"] == stages["expert"].jerk / stages["prior"].jerk
    assert 0 < motion["noise_norm"] < 1.5


def test_simulator_steps_of_validations_count(alone):
    points = steering.read(steering.resolve(SETTINGS), alone / "run")
    rows = [json.loads(line) for line in (alone / "run" / "expert" / "metrics.jsonl").read_text().splitlines()]
    last = next(row for row in reversed(rows) if "validation_env_steps" in row)
    (final,) = [point for point in points if point.point == "final"]
    validation = [point for point in points if point.point == "validation"][-1]
    assert final.env_steps == validation.env_steps == last["step"] + last["validation_env_steps"] > last["step"]
    assert validation.episodes == 2
    steps = [point.env_steps for point in points if point.point != "motion"]
    assert steps == sorted(steps)


def test_it_ends_as_if_the_prior_had_been_its_own(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(steering, "_take_prior", lambda config, folder, common: iter(()))
    drain(steering.run(steering.resolve(SETTINGS), tmp_path / "run", tmp_path / "common"))
    for name in ("prior/prior.safetensors", "expert/expert.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (alone / "run" / name).read_bytes()
    assert results(tmp_path / "run") == results(alone / "run")
    assert not (tmp_path / "common").exists()


def test_another_seed_or_prior_is_made_anew(alone, tmp_path):
    for changes in ({"seed": 1}, {"prior": {**SETTINGS["prior"], "iterations": 10}}):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        drain(steering.run(steering.resolve({**SETTINGS, **changes}), folder, tmp_path / "common"))
    assert len(list((tmp_path / "common").iterdir())) == 2


@pytest.mark.parametrize("policy", ["prior", "zero_noise", "constant_noise"])
def test_what_a_prior_can_do_is_a_member_too(alone, policy):
    settings = {name: group for name, group in SETTINGS.items() if name != "steer"}
    resolved = priors.resolve({**settings, "policy": policy})
    before = len(list((alone / "common").iterdir()))
    drain(priors.run(resolved, alone / policy, alone / "common"))
    assert len(list((alone / "common").iterdir())) == before, "it is the prior that is steered"
    point, *motion = priors.read(resolved, alone / policy)
    assert {one.measure for one in motion} >= {"jerk", "jerk_ratio", "saturation"}
    assert [one.value for one in motion if one.measure == "jerk_ratio"] == [1.0] or policy != "prior"
    stage = Results.load(alone / "run" / "results.json").stages[policy]
    assert (point.point, point.value, point.episodes) == ("final", stage.success, 4)
    assert (point.env_steps > 0) == (point.seconds > 0) == (policy == "constant_noise")


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"policy": "constant"}, "policy must be one of prior, zero_noise, constant_noise, not 'constant'"),
        (
            {"policy": "constant_noise", "evaluation": {"constant_noises": 0}},
            "left out by evaluation.constant_noises 0",
        ),
        ({"until": "prior"}, "until has no place in a comparison"),
    ],
)
def test_a_prior_that_cannot_be_compared_is_refused(changes, refusal):
    with pytest.raises(UsageError, match=refusal):
        priors.resolve({"task": "drawer-open", "seed": 0, **changes})
