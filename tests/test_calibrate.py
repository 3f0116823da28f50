import json

import pytest

from expertgen.cli import main
from expertgen.demos.calibrated import (
    BAND,
    Calibration,
    imperfections_of,
    load_calibrations,
    save_calibrations,
    shipped_calibrations,
)
from expertgen.demos.imperfections import DEFAULT_IMPERFECTIONS, Imperfections
from expertgen.demos.scripted import default_imperfections
from expertgen.errors import FileError
from expertgen.pipeline import calibrate
from expertgen.pipeline.calibrate import STRENGTHS, TRIALS, calibrate_tasks, search_strength
from expertgen.runs.progress import drain
from expertgen.tasks.bimanual import bimanual_tasks
from expertgen.tasks.metaworld_specs import metaworld_tasks
from expertgen.tasks.registry import get_task


def searched(success):
    return search_strength(lambda strength: (2 * success(strength), success(strength)), 100)


def test_a_strength_of_one_is_the_default():
    assert imperfections_of(1.0) == DEFAULT_IMPERFECTIONS
    assert imperfections_of(2.0) == Imperfections(0.03, 0.6)
    assert imperfections_of(8.0) == Imperfections(0.12, 1.0), "noise ends at the largest action"


def test_the_default_is_kept_where_it_lies_in_the_band():
    found = searched(lambda strength: 0.3)
    assert found.strength == 1.0
    assert found.tried == ((1.0, 0.3),)
    assert (found.demos, found.verdict) == (0.6, "in the band")
    assert found.low < 0.3 < found.high


@pytest.mark.parametrize("threshold", [0.2, 0.7, 3.1, 5.6])
def test_the_search_closes_in_on_a_narrow_band(threshold):
    found = searched(lambda s: 0.1 if 0.85 < s / threshold < 1.15 else 0.9 * (s < threshold))
    assert found.verdict == "in the band"
    assert found.strength == pytest.approx(threshold, rel=0.15)
    assert len(found.tried) <= TRIALS


def test_without_a_strength_in_the_band_the_nearest_is_taken_and_marked():
    forgiving = searched(lambda strength: 0.9 - 0.01 * strength)
    assert (forgiving.strength, forgiving.verdict) == (STRENGTHS[1], "too good")
    hopeless = searched(lambda strength: 0.01 if strength < 0.5 else 0.0)
    assert hopeless.verdict == "too bad"
    assert hopeless.strength < 0.5
    a_cliff = searched(lambda strength: 0.5 * (strength < 1.3))
    assert (a_cliff.verdict, len(a_cliff.tried)) == ("too bad", TRIALS)


def test_a_file_is_added_to_and_what_it_has_is_left_alone(tmp_path, monkeypatch):
    class Pool:
        def __init__(self, *_, **__): ...

        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        def submit(self, function, *arguments):
            from concurrent.futures import Future

            asked.append(arguments[0])
            future = Future()
            future.set_result(Calibration(1.0, 0.5, 0.1, 0.0, 0.2, 10, ((1.0, 0.1),)))
            return future

    asked = []
    monkeypatch.setattr(calibrate, "ProcessPoolExecutor", Pool)
    path = tmp_path / "calibration.json"
    drain(calibrate_tasks(["assembly", "reach"], path))
    before = load_calibrations(path)
    drain(calibrate_tasks(["assembly", "hammer"], path))
    assert asked == ["assembly", "reach", "hammer"]
    after = load_calibrations(path)
    assert list(after) == ["assembly", "hammer", "reach"]
    assert all(after[task] == before[task] for task in before)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "calibration.json"
    for content in ('{"assembly": {"strength": 1}}', "[1]", '{"assembly": 3}'):
        path.write_text(content)
        with pytest.raises(FileError, match=r"calibration\.json does not hold calibrations; delete it"):
            load_calibrations(path)


def test_files_round_trip(tmp_path):
    one = Calibration(1.5, 0.5, 0.125, 0.06, 0.2, 64, ((1.0, 0.5), (1.5, 0.125)))
    save_calibrations(tmp_path / "a.json", {"assembly": one})
    assert load_calibrations(tmp_path / "a.json") == {"assembly": one}
    assert len(json.loads((tmp_path / "a.json").read_text())) == 1


def test_shipped_calibrations_are_the_defaults_and_say_where_they_stand():
    shipped = shipped_calibrations()
    assert shipped.keys() <= {task.id for task in (*metaworld_tasks(), *bimanual_tasks())}
    for task, one in shipped.items():
        assert default_imperfections(get_task(task)) == imperfections_of(one.strength)
        assert (BAND[0] <= one.prior <= BAND[1]) == (one.verdict == "in the band")
        assert one.tried[-1] == (one.strength, one.prior) or one.verdict != "in the band"


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["hopper"], "task 'hopper' has no scripted demonstrator"),
        (["assemblyx"], "unknown task 'assemblyx'; did you mean 'assembly'"),
        (["assembly", "--episodes", "0"], "episodes must be at least 1, not 0"),
        (["assembly", "--workers", "0"], "workers must be at least 1, not 0"),
    ],
)
def test_wrong_use_is_refused_before_work_starts(tmp_path, monkeypatch, capsys, words, refusal):
    monkeypatch.chdir(tmp_path)
    assert main(["demos", "calibrate", *words]) == 2
    assert refusal in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
