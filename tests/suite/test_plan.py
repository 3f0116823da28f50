"""Suite files: what is wrong with one is said in one line, and nothing is written."""

import numpy as np
import pytest
import yaml

from expertgen.cli import main
from expertgen.demos.store import Demo, DemoSet, fields_of
from expertgen.errors import UsageError
from expertgen.suite import kinds
from expertgen.suite.plan import built_in_suites, find_suite, members, narrowed, suite_from
from expertgen.tasks.metaworld_specs import metaworld_tasks
from expertgen.tasks.registry import get_task
from tests.suite.toy import KIND

FINE = {
    "name": "toys",
    "tasks": ["toy-a", "toy-return"],
    "methods": {"good": {"kind": "toy", "settings": {"skill": 0.9}}, "plain": {"kind": "toy"}},
    "seeds": [0, 1],
    "scale": {"toy-return": [0, 900]},
}

REFUSED = {
    "unknown key": ({"taskz": []}, "unknown key 'taskz'; did you mean 'tasks'"),
    "no name": ({"name": None}, "name must be a word"),
    "a path as a name": ({"name": "../up"}, "name must be a word"),
    "no tasks": ({"tasks": []}, "tasks must be a list of at least one, not []"),
    "a task twice": ({"tasks": ["toy-a", "toy-a"]}, "tasks has 'toy-a' twice"),
    "unknown task": ({"tasks": ["tyo-a"], "scale": {}}, "task 'tyo-a', method 'good': unknown task 'tyo-a'"),
    "no seeds": ({"seeds": None}, "seeds must be a list of at least one, not None"),
    "a seed twice": ({"seeds": [0, 3, 3]}, "seeds has 3 twice"),
    "a seed in words": ({"seeds": ["two"]}, "seeds[0] must be of type int, not 'two'"),
    "a negative seed": ({"seeds": [0, -1]}, "seeds must not be negative, not -1"),
    "no methods": ({"methods": {}}, "methods must name at least one"),
    "a path as a method": ({"methods": {"a/b": {"kind": "toy"}}}, "a method's name is a word"),
    "no kind": ({"methods": {"a": {}}}, "method 'a' needs a kind"),
    "unknown kind": ({"methods": {"a": {"kind": "tyo"}}}, "unknown kind 'tyo'; did you mean 'toy'"),
    "unknown key of a method": ({"methods": {"a": {"kind": "toy", "sets": 1}}}, "unknown key 'sets'"),
    "unknown setting": ({"methods": {"a": {"kind": "toy", "settings": {"skil": 1}}}}, "unknown setting 'skil'"),
    "settings in a row": ({"methods": {"a": {"kind": "toy", "settings": [1]}}}, "takes a group of settings, not [1]"),
    "a seed of its own": ({"methods": {"a": {"kind": "toy", "settings": {"seed": 1}}}}, "method 'a' sets seed"),
    "scale of another task": ({"scale": {"toy-b": [0, 1]}}, "scale has 'toy-b', which is none of the tasks"),
    "scale upside down": ({"scale": {"toy-a": [1, 0]}}, "takes two numbers, the lower one first, not [1, 0]"),
    "reference of another method": (
        {"reference": {"god": {}}},
        "reference has 'god', which is none of the methods; did",
    ),
    "reference of another task": ({"reference": {"good": {"toy-b": [0, 1]}}}, "reference of 'good' has 'toy-b'"),
    "reference without bands": ({"reference": {"good": [0, 1]}}, "reference takes METHOD: {TASK: [lowest, highest]}"),
    "steering: unknown task": (
        {"tasks": ["peg-insert-sid"], "methods": {"a": {"kind": "steer"}}, "scale": {}},
        "did you mean 'peg-insert-side'",
    ),
    "steering: no demonstrator": (
        {"tasks": ["adroit-door"], "methods": {"a": {"kind": "steer"}}, "scale": {}},
        "has no scripted demonstrator",
    ),
    "steering: impossible value": (
        {
            "tasks": ["assembly"],
            "methods": {"a": {"kind": "steer", "settings": {"steer": {"noise_bound": 0}}}},
            "scale": {},
        },
        "steer.noise_bound must be positive",
    ),
    "steering: nothing to steer": (
        {"tasks": ["assembly"], "methods": {"a": {"kind": "steer", "settings": {"until": "prior"}}}, "scale": {}},
        "until has no place in a comparison",
    ),
}


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "toy", KIND)


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_suite_is_refused_in_one_line_and_nothing_is_written(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    changes, said = REFUSED[name]
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(FINE | changes))
    assert main(["suite", "suite.yaml", "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "suite.yaml"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which suite?"),
        (["quik"], "neither a file nor a suite; did you mean 'quick'"),
        (["quick", "--seeds", "1", "1"], "--seeds: seeds has 1 twice"),
        (["quick", "--tasks", "stick-pul"], "--tasks: suite 'quick' has no 'stick-pul'; did you mean 'stick-pull'"),
        (["quick", "--methods", "steer", "steer"], "--methods: methods has 'steer' twice"),
        (["quick", "--workers", "0"], "--workers must be 1 to"),
        (["quick", "--workers", "1000"], "each has a core to itself"),
        (["quick", "--out", "full"], "--out full exists already"),
        (["--resume", "full"], "no suite.json there"),
        (["quick", "--resume", "full"], "--resume full knows its suite"),
    ],
)
def test_wrong_words_are_refused_in_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("data")
    assert main(["suite", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "precious"]


def test_members_are_every_combination_seed_by_seed():
    found = members(suite_from(FINE, "suite.yaml"))
    names = [f"{task}/{method}" for method in ("good", "plain") for task in ("toy-a", "toy-return")]
    assert list(map(str, found)) == [f"{name}/{seed}" for seed in (0, 1) for name in names]
    assert [member.settings["skill"] for member in found[1:3]] == [0.9, 0.8]
    assert found[-1].settings["seed"] == 1
    assert found[-1].settings["task"] == "toy-return"


def test_a_suite_survives_its_own_form():
    suite = suite_from({**FINE, "reference": {"good": {"toy-a": [0.5, 1]}}}, "suite.yaml")
    assert suite.reference["good"]["toy-a"] == (0.5, 1.0)
    assert suite_from(yaml.safe_load(yaml.safe_dump(suite.to_json())), "again") == suite


def test_a_part_of_a_suite_is_a_suite():
    bands = {"good": {"toy-a": [0.5, 1], "toy-return": [3, 4]}, "plain": {"toy-a": [0, 1]}}
    suite = suite_from({**FINE, "reference": bands}, "suite.yaml")
    part = narrowed(suite, tasks=("toy-a",), methods=("good",))
    assert list(map(str, members(part))) == ["toy-a/good/0", "toy-a/good/1"]
    assert part.reference == {"good": {"toy-a": (0.5, 1.0)}}
    assert set(part.scale) <= {"toy-a"}
    assert suite_from(part.to_json(), "again") == part
    assert narrowed(suite) == suite
    assert narrowed(suite, methods=("plain", "good")).methods.keys() == suite.methods.keys()


@pytest.mark.parametrize("name", [name for name in built_in_suites() if name != "dexterous"])
def test_suites_of_the_package_are_sound(name):
    assert members(find_suite(name))


def test_mt50_has_every_task_of_metaworld_once():
    assert sorted(find_suite("mt50").tasks) == sorted(task.id for task in metaworld_tasks())


def test_the_suite_of_the_hand_wants_demonstrations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"demos_file: demos/adroit-door\.h5 does not exist"):
        members(find_suite("dexterous"))
    task = get_task("adroit-door")
    observations, actions, rewards = (np.zeros((300, *size), np.float32) for size in ((39,), (28,), ()))
    demo = Demo(observations, actions, rewards, success=True, seed=0, source="a person")
    DemoSet(task.id, fields_of(task), (demo,)).save(tmp_path / "demos" / "adroit-door.h5")
    assert members(find_suite("dexterous"))[0].settings["prior"]["chunk_length"] == 4


def test_steering_resolves_all_settings_from_its_preset():
    value = {**FINE, "tasks": ["assembly"], "scale": {}}
    value["methods"] = {"a": {"kind": "steer", "settings": {"preset": "debug", "steer": {"noise_bound": 1}}}}
    settings = members(suite_from(value, "x"))[0].settings
    assert settings["steer"]["env_steps"] == 12_000
    assert settings["steer"]["noise_bound"] == 1.0
    assert settings["until"] == "expert"
    assert settings["evaluation"]["films"] is False
    value["methods"]["a"]["settings"]["preset"] = "debgu"
    with pytest.raises(UsageError, match="unknown preset 'debgu'"):
        members(suite_from(value, "x"))
