"""Numbers in words, and the terminal's tables."""

from dataclasses import replace
from importlib.resources import files

import pytest
from rich.console import Console

from expertgen.evaluation.evaluate import Evaluation
from expertgen.evaluation.results import CONTROLS, STAGES, Results
from expertgen.evaluation.statistics import wilson_interval
from expertgen.reporting.terminal import comparison_table, results_table
from expertgen.reporting.words import MEANINGS, TITLES, count, duration, headline, memory, percent


def evaluation(successes: int, episodes: int = 256) -> Evaluation:
    low, high = wilson_interval(successes, episodes)
    return Evaluation(successes / episodes, low, high, episodes, (999,), 192.4, 184_307, 68.0, 0.7, 0.02, 0.2)


def results(**stages: Evaluation) -> Results:
    return Results("peg-insert-side", 0, "expertgen run peg-insert-side", stages, 900.0, {})


def printed(table: object) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get().replace("\u202f", " ")


def test_every_stage_and_control_has_its_words_and_its_colour():
    names = [*STAGES, *CONTROLS]
    assert sorted(TITLES) == sorted(MEANINGS) == sorted(names)
    style = (files("expertgen.reporting") / "report.css").read_text(encoding="utf-8")
    assert all(f".{name} " in style or f".{name}," in style for name in names)


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (1, "100%"), (0.973, "97%"), (0.998, "99.8%"), (0.004, "0.4%"), (0.035, "4%")]
)
def test_percent_never_rounds_to_nothing_or_all(share: float, text: str):
    assert percent(share) == text


def test_durations_counts_and_memory():
    assert [duration(s).replace("\u202f", " ") for s in (0.42, 45.2, 59.7, 192.4, 7260)] == [
        "0.4 s",
        "45 s",
        "1 min 0 s",
        "3 min 12 s",
        "2 h 1 min",
    ]
    assert [count(n).replace("\u202f", " ") for n in (0, 200, 2184, 184_307, 1_234_567)] == [
        "0",
        "200",
        "2.18 k",
        "184 k",
        "1.23 M",
    ]
    assert [memory(mb).replace("\u202f", " ") for mb in (812.4, 1734)] == ["812 MB", "1.7 GB"]


def test_headline_says_what_happened_and_no_more():
    stages = {"prior": evaluation(9), "expert": evaluation(251), "student": evaluation(247)}
    text = headline(stages).replace("\u202f", " ")
    assert "from 4% to 98% success, in 3 min 12 s and 184 k simulator steps" in text
    assert text.endswith("A student that sees through depth cameras reaches 96% (98% of its expert).")
    assert "not steered yet" in headline({"prior": evaluation(9)})
    assert "No policy" in headline({})


def test_headline_admits_that_steering_did_not_help():
    assert headline({"prior": evaluation(100), "expert": evaluation(104)}).startswith("Steering did not help")
    nothing = {"prior": evaluation(0), "expert": evaluation(0), "student": evaluation(0)}
    assert "did not help" in headline(nothing)


def test_results_table_has_a_row_for_every_stage():
    text = printed(results_table(results(prior=evaluation(9), expert=evaluation(251), blind_student=evaluation(26))))
    assert "peg-insert-side, seed 0" in text
    assert [line.split()[1] for line in text.splitlines() if "%" in line and "interval" not in line] == [
        "Prior",
        "Expert",
        "Blind",
    ]
    assert "95.5–99.2%" in text
    assert "3 min 12 s" in text


def test_comparison_gives_the_difference_and_its_interval():
    first = results(prior=evaluation(56, 70), expert=evaluation(10), student=evaluation(3))
    second = results(prior=evaluation(48, 80), expert=evaluation(250))
    text = printed(comparison_table(first, second, ("ours", "theirs")))
    assert "theirs against ours" in text
    assert "-20.0" in text
    assert "-33.4 to -5.2 points" in text
    assert "Student" not in text


def test_comparison_of_a_run_with_itself_is_nothing():
    same = results(expert=evaluation(200))
    text = printed(comparison_table(same, replace(same)))
    assert "+0.0" in text
