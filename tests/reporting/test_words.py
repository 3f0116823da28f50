"""Numbers in words, and the terminal's tables."""

from dataclasses import replace
from importlib.resources import files
from typing import get_args

import pytest
from rich.console import Console

from expertgen.evaluation.evaluate import Evaluation
from expertgen.evaluation.results import CONTROLS, STAGES, Results
from expertgen.evaluation.statistics import wilson_interval
from expertgen.pipeline.settings import Method
from expertgen.reporting.terminal import results_table
from expertgen.reporting.words import MEANINGS, METHODS, TITLES, count, duration, figure, headline, memory, percent


def evaluation(successes: int, episodes: int = 256) -> Evaluation:
    low, high = wilson_interval(successes, episodes)
    return Evaluation(successes / episodes, low, high, episodes, (999,), 192.4, 184_307, 68.0, 0.7, 0.02, 0.2)


def results(**stages: Evaluation) -> Results:
    return Results("peg-insert-side", 0, "expertgen run peg-insert-side", stages, 900.0, {})


def printed(table: object, width: int = 120) -> str:
    console = Console(width=width, color_system=None)
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
    assert "prior took success from 4% to 98%, in 3 min 12 s and 184 k simulator steps" in text
    assert text.endswith("A student that sees through depth cameras reaches 96% (98% of its expert).")
    assert "not steered yet" in headline({"prior": evaluation(9)})
    assert "No policy" in headline({})
    assert headline(stages, "residual").startswith("Correcting the actions of a frozen diffusion prior took success")
    assert METHODS.keys() == set(get_args(Method))


def test_headline_of_a_run_with_a_given_expert():
    text = headline({"teacher": evaluation(250), "student": evaluation(240)})
    assert text.startswith("The given expert succeeds in 98% of 256 held-out episodes.")
    assert text.endswith("reaches 94% (96% of its expert).")


@pytest.mark.parametrize(
    ("prior", "expert", "verdict"),
    [
        (
            evaluation(100),
            evaluation(104),
            "Too few episodes to tell whether steering helped: the expert",
        ),
        # The expert's interval alone begins above the prior's rate: only the interval of the difference is honest.
        (evaluation(3, 16), evaluation(8, 16), "Too few episodes to tell"),
        (evaluation(0), evaluation(0), "Too few episodes to tell"),
        (evaluation(100), evaluation(20), "Steering did harm"),
    ],
)
def test_headline_says_of_steering_what_the_episodes_tell(prior: Evaluation, expert: Evaluation, verdict: str):
    assert headline({"prior": prior, "expert": expert, "student": evaluation(0)}).startswith(verdict)


def test_results_table_has_a_row_for_every_stage():
    text = printed(results_table(results(prior=evaluation(9), expert=evaluation(251), blind_student=evaluation(26))))
    assert "peg-insert-side, seed 0" in text
    assert [line.split()[0] for line in text.splitlines() if "–" in line] == [
        "Prior",
        "Expert",
        "Blind",
    ]
    assert "95.5–99.2%" in text
    assert "3 min 12 s" in text


def test_results_table_fits_eighty_columns():
    widest = replace(evaluation(256), seconds=754.0, env_steps=13_902)
    text = printed(results_table(results(**dict.fromkeys((*STAGES, *CONTROLS), widest))), 80)
    assert "…" not in text
    assert all(title in text for title in TITLES.values())
    assert len(text.splitlines()) == 3 + len(TITLES) + 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (9359.6, "9,360"),
        (123_456.7, "123,457"),
        (-4.21356, "-4.214"),
        (0.012345, "0.01235"),
        (0.00001234, "1.2e-05"),
        (100.0, "100"),
    ],
)
def test_figures_have_four_digits(value: float, text: str):
    assert figure(value) == text
    assert figure(19.96, digits=2) == "20"
