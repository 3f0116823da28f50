from dataclasses import replace

import numpy as np
from rich.console import Console

from expertgen.demos.describe import describe
from expertgen.demos.store import Demo, DemoSet
from tests.demos.builders import demo_set
from tests.toys import point_task


def printed(description):
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(description)
    return console.export_text()


def hand_made():
    """Two episodes whose summary can be worked out by hand."""
    first = np.array([[0, 1, 5, 5], [2, 3, 5, 5]], np.float32)
    second = np.array([[4, 1, 5, -5], [-2, 3, 5, -5], [1, 2, 5, 5], [1, 2, 5, 5]], np.float32)
    demos = [
        Demo(obs, np.full((len(obs), 2), value, np.float32), np.zeros(len(obs), np.float32), ok, seed, source)
        for obs, value, ok, seed, source in ((first, 0.5, True, 3, "anna"), (second, -1.0, False, 1, "ben"))
    ]
    return DemoSet("toy-point", demo_set().fields, tuple(demos), ("left out demo_7: it has no step",))


def test_counts_lengths_and_sources():
    d = describe(hand_made(), point_task())
    assert (d.task, d.episodes, d.steps, d.successes) == ("toy-point", 2, 6, 1)
    assert (d.lengths, d.success_lengths) == ((2, 3.0, 4), (2, 2.0, 2))
    assert (d.sources, d.seeds) == ({"anna": 1, "ben": 1}, (1, 3))
    assert d.warnings == ()


def test_ranges():
    point, goal, actions = describe(hand_made(), point_task()).ranges
    assert (point.name, point.columns, point.unit) == ("point_position", 2, "m")
    assert (point.minimum, point.maximum, point.constant) == (-2.0, 4.0, 0)
    assert point.deviation == np.std([0, 2, 4, -2, 1, 1])
    assert (goal.minimum, goal.maximum, goal.constant) == (-5.0, 5.0, 1)
    assert (actions.name, actions.minimum, actions.maximum) == ("actions", -1.0, 0.5)
    assert describe(hand_made()).ranges[0].unit == ""


def test_no_success_says_what_to_expect():
    demos = hand_made()
    failures = replace(demos, demos=tuple(replace(d, success=False) for d in demos.demos))
    d = describe(failures)
    assert d.success_lengths is None
    assert len(d.warnings) == 1
    assert "steering can only reinforce what the prior sometimes does" in d.warnings[0]


def test_demonstrations_longer_than_the_time_limit_are_a_warning():
    (warning,) = describe(hand_made(), point_task(horizon=3)).warnings
    assert warning.startswith("1 demonstrations are longer than the task's time limit of 3 control steps")


def test_origins_and_weights_are_shown_where_there_are_any():
    demos = hand_made()
    assert "origin" not in printed(describe(demos))
    first, second = demos.demos
    mixed = replace(demos, demos=(replace(first, origin="glove: left.npz: episode 3", weight=2.5), second))
    d = describe(mixed)
    assert (d.origins, d.weights) == ({"glove: left.npz": 1}, {2.5: 1, 1.0: 1})
    assert "glove: left.npz (1)" in printed(d)
    assert "2.5 (1), 1 (1)" in printed(d)


def test_table_shows_all_of_it():
    text = printed(describe(hand_made(), point_task()))
    for part in (
        "demonstrations of toy-point",
        "2 (6 control steps)",
        "1 of 2 (50.0%)",
        "2 to 4 control steps, median 3",
        "anna (1), ben (1)",
        "goal_position",
        "actions",
        "note: left out demo_7: it has no step",
    ):
        assert part in text
