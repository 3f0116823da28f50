"""The page of a suite and its numbers, and how steering is read."""

import itertools

import numpy as np
import pytest

from expertgen.errors import FileError, TrainingError
from expertgen.evaluation.statistics import wilson_interval
from expertgen.runs.files import write_json
from expertgen.runs.metrics import read_metrics
from expertgen.suite import kinds, steering
from expertgen.suite.analysis import Analysis
from expertgen.suite.member import write_result
from expertgen.suite.plan import members, suite_from
from expertgen.suite.report import write_suite_report
from expertgen.suite.runner import Standing, member_folder, read_standings, read_suite
from expertgen.suite.table import Point, check_points
from tests.reporting.fixture import make_run
from tests.reporting.test_report import Page
from tests.suite.toy import KIND

pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
pytest.importorskip("jinja2", reason="the extra 'report' is not installed")

SUITE = {
    "name": "toys",
    "tasks": ["toy-a", "toy-return"],
    "methods": {name: {"kind": "toy"} for name in ("good", "fair", "absent")},
    "seeds": [0, 1],
    "scale": {"toy-return": [100, 300]},
}
JERKS = {"good": (0.4, 0.6), "fair": (1.0, 2.0)}
FINALS = {
    ("toy-a", "good"): (0.8, 1.0),
    ("toy-a", "fair"): (0.2, 0.8),
    ("toy-return", "good"): (300.0, 340.0),
    ("toy-return", "fair"): (100.0, 200.0),
}


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "toy", KIND)


def measured(task: str, method: str, seed: int) -> list[Point]:
    """A run that learns for 10, 20, 30 steps, and stops there or goes on to 60."""
    final, measure = FINALS[task, method][seed], "return" if "return" in task else "success"
    heights = [(10, 0.0), (20, final / 2), (30, final)] + [(60, final)] * seed
    curve = [Point("curve", x, x / 10, measure, y, None) for x, y in heights]
    end, jerk = (heights[-1][0], 6.0), JERKS[method][seed] * (2 if "return" in task else 1)
    motion = [Point("motion", *end, "jerk", jerk, 10), Point("motion", *end, "jerk_ratio", jerk / 2, 10)]
    if method == "good":
        motion.append(Point("motion", *end, "noise_norm", 0.9, None))
    return [*curve, Point("final", *end, measure, final, 10), *motion]


def standings(suite):
    return {
        str(m): Standing(m, "done", points=tuple(measured(m.task, m.method, m.seed)))
        for m in members(suite)
        if m.method != "absent"
    }


@pytest.fixture
def analysis():
    suite = suite_from(SUITE, "")
    return Analysis(suite, standings(suite))


@pytest.fixture
def folder(tmp_path):
    suite = suite_from(SUITE, "")
    about = {"command": "expertgen suite <toys>", "machine": {"cores": 2, "cpu": "x"}, "versions": {"torch": "2"}}
    write_json(tmp_path / "suite.json", {"suite": suite.to_json()} | about)
    for member in members(suite):
        place = member_folder(tmp_path, member)
        if member.method != "absent":
            write_result(place / "result.json", member, measured(member.task, member.method, member.seed))
        elif member.seed == 0:
            write_json(place / "failure.json", {"error": "ValueError: <broke>", "log": "log.txt", "exit_code": 1})
    return tmp_path


def test_a_method_without_runs_is_left_out(analysis):
    assert analysis.methods == ["good", "fair"]
    assert analysis.shared == analysis.pooled == ["toy-a", "toy-return"]


def test_overall_by_hand(analysis):
    # Scaled: 0.8, 1 and (300 - 100) / 200 = 1, 1.2; of four, one is cut at each end.
    assert analysis.overall("good").value == pytest.approx(1.0)
    assert analysis.overall("fair").value == pytest.approx((0.2 + 0.5) / 2)


def test_improvement_by_hand(analysis):
    # toy-a: 0.8 ties with 0.8 and beats 0.2, 1.0 beats both: 3.5 of 4. toy-return: all.
    assert analysis.improvement("good", "fair").value == pytest.approx((3.5 / 4 + 1) / 2)
    assert analysis.improvement("good", "fair").high <= 1


def test_average_by_hand(analysis):
    # (0.9 + 1.1) / 2, of a task whose values are rates and one whose are not.
    assert analysis.average("good").value == pytest.approx(1.0)
    assert 0.6 < analysis.average("good").low < 0.8
    suite = suite_from(SUITE | {"seeds": [1], "tasks": ["toy-a"], "scale": {}}, "")
    one = Analysis(suite, standings(suite))
    assert one.average("good").value == 1.0
    assert 0.7 < one.average("good").low < 0.9
    assert one.average("good").high == 1.0, "10 of 10 episodes: no certainty, but no more than all of them"


def test_rows_and_areas_by_hand(analysis):
    row = next(row for row in analysis.rows() if (row.task, row.method) == ("toy-a", "good"))
    assert row.values == (0.8, 1.0)
    assert row.estimate.value == pytest.approx(0.9)
    low = wilson_interval(18, 20)[0]  # of all episodes, and up to the better of the two seeds
    assert (row.estimate.low, row.estimate.high) == (pytest.approx(low), 1.0)
    # 0 until 10, up to the final value at 30, there until 60: 40 of 60 steps.
    assert row.area == pytest.approx(0.9 * 40 / 60)
    # 0 until 1 s, up to the final value at 3 s, there until 6 s.
    assert analysis.areas("toy-a", "good", axis="seconds") == pytest.approx([0.8 * 4 / 6, 1.0 * 4 / 6])


def test_areas_come_in_the_order_of_seeds():
    suite = suite_from(SUITE, "")
    backwards = dict(reversed(standings(suite).items()))
    first, second = (Analysis(suite, runs).areas("toy-a", "good") for runs in (standings(suite), backwards))
    assert (first == second).all()


def test_curves_by_hand(analysis):
    curve = analysis.curve(["toy-a"], "good", "env_steps")
    assert (curve.x[0], curve.x[-1]) == (10, 60)
    assert np.interp(20, curve.x, curve.middle) == pytest.approx(0.45, abs=0.01)
    assert (curve.low[-1], curve.middle[-1], curve.high[-1]) == pytest.approx((0.8, 0.9, 1.0))
    both = analysis.curve(["toy-a", "toy-return"], "good", "seconds")
    assert both.x[-1] == 6
    assert both.middle[-1] == pytest.approx(1.0)
    assert analysis.curve(["toy-a"], "absent", "seconds") is None


def test_a_curve_ends_with_what_the_run_has_made(analysis):
    # Stopped early at 20, where exploring succeeded in half of the episodes; its solution succeeds in nine of ten.
    exploring = (Point("curve", 10, 1.0, "success", 0.0, None), Point("curve", 20, 2.0, "success", 0.5, None))
    solution = Point("final", 24, 3.0, "success", 0.9, 10)
    for seed in analysis._runs["toy-a", "good"]:
        analysis._runs["toy-a", "good"][seed] = (*exploring, solution)
    curve = analysis.curve(["toy-a"], "good", "env_steps")
    assert (curve.x[-1], curve.middle[-1]) == (24, pytest.approx(0.9))
    assert np.interp(20, curve.x, curve.middle) == pytest.approx(0.5, abs=0.02)


def test_levels_by_hand(analysis):
    assert analysis.level(["toy-return"], "good") == 320
    assert np.isclose(analysis.level(["toy-a", "toy-return"], "fair"), (0.2 + 0.5) / 2)
    assert analysis.level(["toy-a"], "absent") is None


def test_a_method_that_does_not_learn_is_a_dotted_line(analysis):
    from expertgen.suite.charts import curves_chart

    suite = analysis.suite
    for run in analysis._runs:
        if run[1] == "fair":
            for seed, points in analysis._runs[run].items():
                analysis._runs[run][seed] = tuple(p for p in points if p.point != "curve")
    svg = curves_chart(analysis, suite.tasks, "env_steps", "all")
    assert svg.count("stroke-dasharray") == 1


def test_profiles_by_hand(analysis):
    thresholds = np.array([0.0, 0.15, 0.2, 0.5, 0.8, 0.9, 1.0])
    # Scaled scores, of which a profile counts those above: 0.8, 1, 1, 1.2 and 0.2, 0.8, 0, 0.5.
    good, fair = (analysis.profile(method, thresholds) for method in ("good", "fair"))
    np.testing.assert_allclose(good.middle, [1, 1, 1, 1, 0.75, 0.75, 0.25])
    np.testing.assert_allclose(fair.middle, [0.75, 0.75, 0.5, 0.25, 0, 0, 0])
    # Drawn within each task: at 0.15 both runs of the first task of `fair` are above whatever is drawn, of the second
    # task none to both. Across tasks, all four draws could be the run at 0.
    assert (fair.low[1], fair.high[1]) == (0.5, 1.0)
    assert (good.low[3], good.high[3]) == (1.0, 1.0)
    # At 0.8 one run of the first task of `good` is above, and both of the second.
    assert (good.low[4], good.high[4]) == (0.5, 1.0)


def test_motion_by_hand(analysis):
    jerk = analysis.motion("good", "jerk")
    assert jerk.value == pytest.approx((0.4 + 0.6 + 0.8 + 1.2) / 4)
    assert (jerk.low, jerk.high) == pytest.approx((0.6, 0.9))
    assert analysis.motion("fair", "jerk_ratio").value == pytest.approx((0.5 + 1.0 + 1.0 + 2.0) / 4)
    assert analysis.motion("good", "noise_norm").value == pytest.approx(0.9)
    assert analysis.motion("fair", "noise_norm") is None
    assert analysis.motion("good", "dtw") is None


def test_only_runs_with_a_counterpart_are_compared():
    # Both methods do well on the easy task and badly on the hard one; one was stopped after less of the latter.
    suite = suite_from(
        SUITE | {"scale": {}, "tasks": ["toy-a", "toy-b"], "methods": {"a": {"kind": "toy"}, "b": {"kind": "toy"}}}, ""
    )
    values = {"toy-a": 0.9, "toy-b": 0.1}
    every = {
        str(m): Standing(m, "done", points=(Point("final", 60, 6.0, "success", values[m.task], 10),))
        for m in members(suite)
    }
    del every["toy-b/a/1"], every["toy-a/b/0"]
    analysis = Analysis(suite, every)
    assert analysis.overall("a").value == analysis.overall("b").value == pytest.approx(0.5)
    assert analysis.improvement("a", "b").value == 0.5
    assert analysis.alone == ["toy-a/a/0", "toy-b/b/1"]
    assert [len(row.values) for row in analysis.rows()] == [2, 1, 1, 2], "but all are shown"


def test_no_interval_where_a_task_has_one_run():
    suite = suite_from(SUITE, "")
    some = standings(suite)
    del some["toy-a/good/1"]
    analysis = Analysis(suite, some)
    assert analysis.overall("good").low is None
    assert analysis.improvement("good", "fair").low is None


def test_one_seed_has_the_interval_of_its_episodes():
    suite = suite_from(SUITE | {"seeds": [1]}, "")
    analysis = Analysis(suite, standings(suite))
    good, fair = analysis.rows()[:2]
    assert (good.estimate.low, good.estimate.high) == pytest.approx((0.722, 1.0), abs=1e-3)  # Wilson, 10 of 10
    assert (fair.estimate.low, fair.estimate.high) == pytest.approx((0.490, 0.943), abs=1e-3)  # and 8 of 10
    assert analysis.improvement("good", "fair").low is None


def test_returns_without_a_scale_are_not_pooled():
    suite = suite_from(SUITE | {"scale": {}}, "")
    analysis = Analysis(suite, standings(suite))
    assert analysis.pooled == ["toy-a"]
    assert analysis.shared == ["toy-a", "toy-return"]


def test_page_has_everything_loads_nothing_and_is_the_same_every_time(folder):
    path = write_suite_report(folder)
    first = path.read_bytes()
    page = Page(path)
    assert write_suite_report(folder).read_bytes() == first  # the same every time
    assert b"#0a0b" not in first  # colours are the page's own
    assert page.headings == [
        "All tasks together",
        "Who beats whom",
        "Learning, all tasks together",
        "Learning, each task",
        "Final values",
        "Motion",
        "Failed runs",
        "Do it again",
        "Glossary",
    ]
    assert "distance to demonstrations" not in page.text  # nobody has it
    for words in (
        "0.75",
        "0.60–0.90",
        "1.50–3.00",
        "good scores 100%",
        "0.94",
        "ValueError: <broke>",
        "members/toy-a/absent/0/log.txt",
        "300, 340",
    ):
        assert words in page.text, words
    assert "expertgen suite <toys>" in page.text
    assert page.tags.isdisjoint({"script", "link", "iframe", "object", "embed", "base"})
    assert all(address.startswith("#") for address in page.addresses)
    assert len(page.ids) == len(set(page.ids))


def test_a_suite_without_a_finished_run_has_a_page(folder):
    for path in folder.rglob("result.json"):
        path.unlink()
    page = Page(write_suite_report(folder))
    assert "No run of this suite has finished yet." in page.text
    assert page.headings == ["Failed runs", "Do it again", "Glossary"]


def test_what_is_no_suite_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"no suite\.json"):
        write_suite_report(tmp_path)
    (tmp_path / "suite.json").write_text("[]")
    with pytest.raises(FileError, match="not what a suite wrote"):
        write_suite_report(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        Point("final", 1, 1.0, "jerk", 0.5, 10),
        Point("motion", 1, 1.0, "success", 0.5, 10),
        Point("motion", 1, 1.0, "jerk", float("nan"), 10),
    ],
)
def test_a_measure_has_its_place(wrong):
    with pytest.raises(TrainingError, match="measured something that is no result"):
        check_points([Point("final", 1, 1.0, "success", 0.5, 10), wrong])


def test_steering_is_read_from_its_run_folder(tmp_path):
    folder = make_run(tmp_path)
    points = steering.read({}, folder)
    final = check_points(points)
    assert (final.point, final.env_steps, final.value, final.episodes) == ("final", 214_307, 251 / 256, 256)
    assert {point.episodes for point in points if point.point == "validation"} == {128}
    motion = {point.measure: point for point in points if point.point == "motion"}
    wanted = {"jerk": 0.71, "jerk_ratio": 0.71 / 0.62, "dtw": 0.024, "saturation": 0.22}
    noise_norm = next(row["noise_norm"] for row in reversed(read_metrics(folder / "expert")) if "noise_norm" in row)
    assert {name: point.value for name, point in motion.items()} == wanted | {"noise_norm": noise_norm}
    assert motion["jerk"].episodes == 256
    curve = [point for point in points if point.point == "curve"]
    assert len(curve) > 20
    assert all(a.env_steps < b.env_steps for a, b in itertools.pairwise(curve))


def test_the_page_says_where_runs_were_not_made_by_the_same(folder, monkeypatch):
    assert "not all made by the same" not in write_suite_report(folder).read_text()
    monkeypatch.setattr("expertgen.suite.member.source_digest", lambda: "0123456789ab")
    first = next(iter(read_standings(folder, read_suite(folder)).values())).member
    write_result(member_folder(folder, first) / "result.json", first, measured(first.task, first.method, first.seed))
    page = write_suite_report(folder).read_text()
    assert "<b>1</b> by source 0123456789ab on " in page
