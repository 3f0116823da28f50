"""The page of a run of model-based RL: complete, self-contained, and there however far the run got."""

import json
import re
import sys
from pathlib import Path
from typing import get_args

import pytest

from expertgen.cli import main
from expertgen.errors import FileError, UsageError
from expertgen.mbrl.weightings import WeightingName
from expertgen.reporting.mbrl import WEIGHTINGS, MbrlRecord, is_mbrl_run, write_mbrl_report
from expertgen.reporting.report import write_report
from tests.reporting.fixture import make_run
from tests.reporting.mbrl_fixture import COMMAND, make_mbrl_run
from tests.reporting.test_report import Page

pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
pytest.importorskip("jinja2", reason="the extra 'report' is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_mbrl_run(tmp_path_factory.mktemp("run"))
    write_mbrl_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(folder / "report.html")


def titles(page: Page) -> set[str]:
    """What the figures on a page show."""
    return {
        label.split(" over ")[0].split(";")[0]
        for label in re.findall(r'<svg role="img" aria-label="([^"]*)"', page.html)
    }


def test_everything_is_there(page: Page):
    assert page.headings == [
        "Return",
        "World model",
        "Weights of the data",
        "Health of the agent",
        "Do it again",
        "Glossary",
    ]
    assert titles(page) == {
        *("Return", "Error of one step", "Error after five steps", "Mean weight of each tenth of the buffer by age,"),
        *("Effective sample size", "Largest weight", "Mean before normalising", "Value", "TD error", "Entropy"),
        *("Temperature", "Critic loss", "Actor loss", "Holdout error", "Steps of a rollout"),
    }
    # 12.5 / sqrt(31) times Student's quantile for 31 degrees of freedom, 2.04.
    said = "On 32 held-out episodes the agent's mean return is 2,871 ± 4.6 (95% interval), with a deviation of 12"
    assert said in page.text
    assert "20\u202fk steps in the environment and 1\u202fh 6\u202fmin" in page.text
    for words in (COMMAND, "recency", "Newer transitions count more", "AMD EPYC", "512\u202fMB", "agent.learning_rate"):
        assert words in page.text


def test_numbers_of_the_last_quarter(page: Page):
    # The median step of the last 15 refreshes is that of the eighth from the end: 18250, a share of .8833.
    assert re.search(r"Weight of the newest tenth\s+1\.883", page.text)
    assert re.search(r"Weight of the oldest tenth\s+0\.1167", page.text)
    assert re.search(r"Effective sample size\s+56%", page.text)


def test_settings_that_differ_from_the_preset_alone_are_listed(page: Page):
    table = page.text.split("differ from the preset")[1].split("settings")[0]
    assert re.search(r"mbpo\.env_steps\s+20000\s+100000", table)
    assert len(re.findall(r"\w+\.\w+|weighting|seed", table)) == 1


def test_page_loads_nothing_from_anywhere_and_its_ids_are_its_own(page: Page):
    assert page.tags.isdisjoint({"script", "link", "iframe", "object", "embed", "base"})
    assert all(address.startswith("#") for address in page.addresses)
    assert len(page.ids) == len(set(page.ids))
    assert {address[1:] for address in page.addresses} <= set(page.ids)
    assert "#0a0b" not in page.html, "a stand-in colour was left"


def test_same_run_same_bytes(folder: Path):
    first = (folder / "report.html").read_bytes()
    assert write_mbrl_report(folder).read_bytes() == first


@pytest.mark.parametrize("epochs", [0, 1, 7])
def test_a_run_that_goes_on_shows_what_there_is(tmp_path: Path, epochs: int):
    page = Page(write_mbrl_report(make_mbrl_run(tmp_path, epochs, finished=False)))
    steps = {0: "0", 1: "6\u202fk", 7: "12\u202fk"}[epochs]
    assert f"This run has not finished: {steps} of 20\u202fk steps so far." in page.text
    assert ("Nothing to draw yet" in page.headings) == (not epochs)
    assert ("Return" in page.headings) == bool(epochs)
    assert "held-out episodes the" not in page.text
    assert not re.search(r"\b(None|nan|NaN)\b", page.text)


def test_a_half_written_last_row_is_left_out(tmp_path: Path):
    folder = make_mbrl_run(tmp_path, 3, finished=False)
    expected = MbrlRecord.read(folder)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8250, "sec')
    assert MbrlRecord.read(folder) == expected


def test_where_weights_are_equal_there_is_no_picture_of_them(tmp_path: Path):
    page = Page(write_mbrl_report(make_mbrl_run(tmp_path, weighting="uniform")))
    assert "All weights were 1" in page.text
    assert titles(page).isdisjoint({"Effective sample size", "Mean weight of each tenth of the buffer by age,"})


def test_a_task_that_is_not_known_here_has_a_page(tmp_path: Path):
    folder = make_mbrl_run(tmp_path, 0)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"task": "theirs.tasks:TASK"}))
    text = Page(write_mbrl_report(folder)).text
    assert "differ from the preset" not in text
    assert "mbpo.env_steps" in text


def test_every_weighting_has_its_words():
    assert sorted(WEIGHTINGS) == sorted(get_args(WeightingName))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("results.json", "[]", r"results\.json holds no JSON object"),
        ("results.json", '{"return": 1', r"results\.json is not a readable JSON file"),
        ("results.json", '{"return": 1.0}', r"results\.json has no finite number under 'return_deviation'"),
        ("results.json", '{"return": NaN}', r"results\.json has no finite number under 'return'"),
        ("metrics.jsonl", '{"step": 1}\n{"st\n{"step": 3}\n', r"metrics\.jsonl, line 2, is no JSON object"),
        ("run.json", "7", r"run\.json holds no JSON object"),
        ("config.json", "{}", "is not the folder of a run of expertgen mbrl"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, file: str, content: str, said: str):
    folder = make_mbrl_run(tmp_path, 2)
    (folder / file).write_text(content)
    with pytest.raises(FileError, match=said):
        write_mbrl_report(folder)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_without_the_extra_learning_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, capsys
):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=r"pip install 'expertgen\[report\]'"):
        write_mbrl_report(make_mbrl_run(tmp_path / "run", 1))
    assert main(["mbrl", "hopper", "--out", str(tmp_path / "new")]) == 2
    assert f"the report needs {missing}: pip install" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_verb_tells_runs_apart(tmp_path: Path, capsys):
    ours, other = make_mbrl_run(tmp_path / "ours", 0), make_run(tmp_path / "other", ("demos",))
    assert (is_mbrl_run(ours), is_mbrl_run(other), is_mbrl_run(tmp_path)) == (True, False, False)
    assert main(["report", str(ours)]) == 0
    assert capsys.readouterr().out.strip() == str(ours / "report.html")
    assert "expertgen mbrl" in Page(ours / "report.html").text
    assert main(["report", str(other)]) == 0
    assert (other / "report.html").read_bytes() == write_report(other).read_bytes()
