"""The kind `mbrl`: resolved as the verb does, run in a folder, read back."""

import pytest

from expertgen.errors import UsageError
from expertgen.mbrl.run import default_settings
from expertgen.runs.config import plain
from expertgen.runs.progress import drain
from expertgen.suite import mbrl
from expertgen.suite.table import check_points

TINY = {
    "task": "reacher",
    "seed": 3,
    "weighting": "recency",
    "final_episodes": 2,
    "mbpo": {
        "env_steps": 540,
        "epoch_steps": 20,
        "rollout_transitions": 30,
        "updates_per_step": 1,
        "batch_size": 16,
        "evaluation_episodes": 2,
    },
    "agent": {"width": 8},
    "model": {"width": 8},
    "training": {"max_steps": 5, "min_epoch_steps": 5},
}


def test_settings_are_the_preset_with_the_methods_changes():
    settings = mbrl.resolve({"task": "hopper", "seed": 2, "weighting": "tom-kl", "mbpo": {"real_ratio": 0.5}})
    assert (settings["task"], settings["seed"], settings["weighting"]) == ("hopper", 2, "tom-kl")
    preset = plain(default_settings("hopper"))
    assert settings["mbpo"] == preset["mbpo"] | {"real_ratio": 0.5}
    assert settings["model"] == preset["model"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weighting": "tom"}, "weighting"),
        ({"mbpo": {"real_ratio": 1.5}}, r"mbpo\.real_ratio must lie in"),
        ({"steer": {}}, "unknown setting 'steer'"),
        ({"task": "hoper"}, "did you mean 'hopper'"),
    ],
)
def test_what_the_verb_refuses_is_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        mbrl.resolve({"task": "hopper", "seed": 0} | changes)


def test_a_run_is_done_in_its_folder_and_read_back(tmp_path):
    settings = mbrl.resolve(TINY)
    results = drain(mbrl.run(settings, tmp_path, tmp_path))
    points = mbrl.read(settings, tmp_path)
    final = check_points(points)
    assert (final.env_steps, final.value, final.measure, final.episodes) == (540, results["return"], "return", 2)
    curve = [point for point in points if point.point == "curve"]
    assert [point.env_steps for point in curve] == [520, 540]
    assert {point.episodes for point in curve} == {2}
    assert drain(mbrl.run(settings, tmp_path, tmp_path)) == results
