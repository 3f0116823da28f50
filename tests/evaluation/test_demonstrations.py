from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from expertgen.demos.store import Demo, DemoSet
from expertgen.errors import UsageError
from expertgen.evaluation.demonstrations import compare_demos, covered_share
from tests.toys import point_demos


def test_coverage_on_a_line():
    """Starts 0, 1, 2, 3 and 10: nearest neighbours at 1, 1, 1, 1 and 7, of which the 95% quantile is 5.8."""
    others = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]])
    reach = 1 + 0.8 * 6
    starts = np.array([[0.5], [3 + reach - 0.1], [10 + reach + 0.1], [10 + reach - 0.1]])
    assert covered_share(starts, others) == 0.75


def test_coverage_looks_at_every_column_that_varies_in_its_own_unit():
    random = np.random.default_rng(0)
    others = np.column_stack([random.normal(size=300), 1e4 * random.normal(size=300), np.full(300, 5.0)])
    assert covered_share(others, others) == 1.0
    again = np.column_stack([random.normal(size=300), 1e4 * random.normal(size=300), np.full(300, 5.0)])
    assert covered_share(again, others) > 0.85
    for column, by in ((0, 10.0), (1, 1e5), (2, 1e-3)):
        assert covered_share(again + by * np.eye(3)[column], others) < 0.1
    assert np.isnan(covered_share(again, others[:1]))


def test_coverage_of_more_starts_than_are_compared_at_a_time():
    starts = np.random.default_rng(0).normal(size=(1100, 2))
    assert covered_share(starts[::-1], starts) == 1.0


def one(start, actions, success, source):
    actions = np.asarray(actions, np.float32)[:, None]
    observations = np.full((len(actions), 1), start, np.float32)
    return Demo(observations, actions, np.zeros(len(actions), np.float32), success, 0, source)


def test_summaries_by_hand():
    fields = (("position", 0, 1),)
    first = DemoSet("line", fields, (one(0, [0] * 5, True, "anna"), one(2, [0, 1, -1, 1], False, "ben")))
    second = DemoSet("line", fields, (one(1, [1, 1], True, "anna"),))
    comparison = compare_demos(first, second, ("a", "b"))
    a, b = comparison.both
    assert (a.episodes, a.steps, a.successes, a.lengths) == (2, 9, 1, (4, 4.5, 5))
    assert a.jerk == pytest.approx((0 + 7) / 2)  # the third difference of 0, 1, -1, 1 is 7
    assert a.saturation == pytest.approx(0.75 / 2)
    assert a.sources == {"anna": 1, "ben": 1}
    assert (a.start_mean, a.start_deviation) == ({"position": 1.0}, {"position": 1.0})
    assert np.isnan(b.jerk)
    assert np.isnan(a.covered)
    assert b.covered == 1.0
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(comparison)
    text = console.export_text()
    for part in ("2 (9 control steps)", "50.0%", "start of position", "1.000 ± 1.000", "anna (1), ben (1)", "–"):
        assert part in text


def test_other_tasks_are_refused():
    demos = point_demos(2, seed=0)
    with pytest.raises(UsageError, match="of one task can be compared: first is of 'toy-point', second of 'other'"):
        compare_demos(demos, replace(demos, task="other"))


def test_the_same_demonstrator_covers_itself_and_another_start_region_is_not_covered():
    here, there = point_demos(60, seed=0), point_demos(60, seed=1)
    assert compare_demos(here, there).both[1].covered > 0.7
    far = replace(there, demos=tuple(replace(d, observations=d.observations + 9) for d in there.demos))
    assert compare_demos(here, far).both[1].covered == 0.0
