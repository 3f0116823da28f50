"""Published numbers are those of the committed tables."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from expertgen.errors import FileError
from expertgen.runs.files import write_json
from expertgen.suite import kinds
from expertgen.suite.member import write_result
from expertgen.suite.plan import members, suite_from
from expertgen.suite.runner import member_folder
from expertgen.suite.table import Point
from tests.suite.toy import KIND

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
BRIEFLY = ("prior", "residual", "rlpd", "steer")
"""Methods in the table of the front page."""
PEERS = {"peer": ("stable_baselines3", "diffusers"), "mbrl_lib": ("mbrl",)}
"""What a script compares with; packages that are not always there."""


def load(path: Path, monkeypatch: pytest.MonkeyPatch):
    """Imports a script of the folder `benchmarks`, which finds its neighbours as when it is run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location(f"benchmarks_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_results_shows_what_the_tables_hold(monkeypatch):
    tables = load(BENCHMARKS / "tables.py", monkeypatch)
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    for table in (tables.steering(), tables.fresh(), tables.students("students.csv"), tables.students("depth.csv")):
        missing = [line for line in table.splitlines() if line not in page]
        assert not missing, "python benchmarks/tables.py prints what docs/results.md should show"


def test_the_page_of_calibrations_shows_what_is_shipped(monkeypatch):
    tables = load(BENCHMARKS / "tables.py", monkeypatch)
    page = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert tables.calibration() in page, "python benchmarks/tables.py prints what docs/calibration.md should show"


def test_the_page_of_demonstrations_shows_what_the_table_of_sources_holds(monkeypatch):
    tables = load(BENCHMARKS / "tables.py", monkeypatch)
    page = (ROOT / "docs" / "demos.md").read_text(encoding="utf-8")
    assert tables.sources() in page, "python benchmarks/tables.py prints what docs/demos.md should show"


def test_the_leaderboard_shows_what_the_table_of_comparisons_holds(monkeypatch):
    boards = load(BENCHMARKS / "leaderboards.py", monkeypatch)
    page = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    assert boards.leaderboard("assembly") in page, (
        "python benchmarks/leaderboards.py prints what docs/leaderboard.md should show"
    )


def test_the_leaderboard_shows_what_a_hand_learns(monkeypatch):
    boards = load(BENCHMARKS / "leaderboards.py", monkeypatch)
    page = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    assert boards.leaderboard("dexterous") in page


@pytest.mark.parametrize("suite", ["quick", "agents"])
def test_the_leaderboard_shows_every_method(suite, monkeypatch):
    boards = load(BENCHMARKS / "leaderboards.py", monkeypatch)
    page = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    assert boards.method_by_method(suite) in page


def test_the_leaderboard_shows_all_of_metaworld(monkeypatch):
    boards = load(BENCHMARKS / "leaderboards.py", monkeypatch)
    page = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    assert boards.leaderboard("mt50", file="mt50.csv") in page, (
        "python benchmarks/leaderboards.py prints what docs/leaderboard.md should show"
    )
    assert boards.worst("mt50.csv", "steer") in page
    assert f"{boards.minutes('mt50.csv', 'mt50', 'steer'):.0f} minutes of steering" in page


@pytest.mark.parametrize(
    ("suite", "file", "methods"),
    [
        ("mt50", "mt50.csv", ("prior", "steer")),
        ("assembly", "comparisons.csv", ("prior", "rlpd", "steer")),
        ("quick", "comparisons.csv", ("prior", "rlpd", "steer")),
        ("dexterous", "comparisons.csv", ("prior", "residual", "steer")),
    ],
)
def test_runs_of_a_suite_are_checked_against_what_was_measured(suite, file, methods, monkeypatch):
    boards = load(BENCHMARKS / "leaderboards.py", monkeypatch)
    text = (ROOT / "src" / "expertgen" / "suite" / "suites" / f"{suite}.yaml").read_text(encoding="utf-8")
    assert text.endswith(boards.reference(file, suite, *methods) + "\n"), (
        "leaderboards.reference() says what the suite should have"
    )


def test_the_front_page_shows_what_the_table_of_comparisons_holds(monkeypatch):
    boards = load(BENCHMARKS / "leaderboards.py", monkeypatch)
    assert boards.summary("assembly", *BRIEFLY) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_page_of_priors_shows_what_predicts_steering(monkeypatch):
    tables = load(BENCHMARKS / "tables.py", monkeypatch)
    page = (ROOT / "docs" / "prior.md").read_text(encoding="utf-8")
    for chunk_length in (8, 4):
        assert tables.steerability(chunk_length) in page
    assert tables.steered_priors() in page


def test_the_page_of_robustness_shows_what_was_measured(monkeypatch):
    tables = load(BENCHMARKS / "tables.py", monkeypatch)
    assert tables.robustness() in (ROOT / "docs" / "robustness.md").read_text(encoding="utf-8")


def test_the_page_of_priors_shows_what_the_length_of_chunks_does(monkeypatch):
    tables = load(BENCHMARKS / "tables.py", monkeypatch)
    page = (ROOT / "docs" / "prior.md").read_text(encoding="utf-8")
    assert tables.chunks() in page
    assert tables.chunk_priors() in " ".join(page.split())


def test_the_page_of_steering_shows_what_the_table_of_options_holds(monkeypatch):
    tables = load(BENCHMARKS / "tables.py", monkeypatch)
    assert tables.options() in (ROOT / "docs" / "steer.md").read_text(encoding="utf-8")


def test_the_page_of_baselines_shows_what_the_table_of_tuning_holds(monkeypatch):
    boards = load(BENCHMARKS / "leaderboards.py", monkeypatch)
    assert boards.tuning() in (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")


def test_figures_were_drawn_of_what_the_tables_hold(monkeypatch):
    drawn = [(name, shown) for name, shown, _ in load(BENCHMARKS / "figures.py", monkeypatch).figures()]
    assert [name for name, _ in drawn] == sorted(path.name for path in (ROOT / "docs" / "images").glob("*.svg"))
    for name, shown in drawn:
        image = (ROOT / "docs" / "images" / name).read_text(encoding="utf-8")
        assert f"<dc:source>{shown}</dc:source>" in image, "python benchmarks/figures.py draws it anew"


def test_the_page_of_weightings_shows_what_the_tables_hold(monkeypatch):
    tables, boards = (load(BENCHMARKS / script, monkeypatch) for script in ("tables.py", "leaderboards.py"))
    page = (ROOT / "docs" / "weightings.md").read_text(encoding="utf-8").splitlines()
    printed = (
        tables.offline("error_newest", 32),
        tables.offline("error_newest_5_steps", 32),
        tables.offline("error_newest", 32, "deterministic"),
        boards.returns("weightings_fast.csv", "weightings-fast"),
    )
    for table in printed:
        missing = [line for line in table.splitlines() if line not in page]
        assert not missing, "the scripts print what docs/weightings.md should show"


def sealed(folder: Path, seeds: list[int], points: list[Point]) -> Path:
    """The folder of a suite of one toy whose runs, of these seeds, have all measured the same."""
    suite = suite_from({"name": "toys", "tasks": ["toy"], "methods": {"steer": {"kind": "toy"}}, "seeds": seeds}, "")
    write_json(folder / "suite.json", {"suite": suite.to_json()})
    for member in members(suite):
        write_result(member_folder(folder, member) / "result.json", member, points)
    return folder


@pytest.mark.parametrize("script", ["join", "robustness", "steerability"])
def test_a_wrong_folder_is_refused_in_one_line(script, tmp_path):
    command = [sys.executable, str(BENCHMARKS / f"{script}.py"), "nowhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"{script}.py: nowhere: no suite.json there, so it is not the folder of a suite\n"


CURVE = [Point("curve", steps, 1.0, "success", 0.5, None) for steps in range(0, 20_000, 640)]
FINAL = Point("final", 19_840, 2.0, "success", 0.9, 256)


def test_runs_that_suites_have_in_common_are_joined_once(tmp_path, monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "toy", KIND)
    join, table = load(BENCHMARKS / "join.py", monkeypatch), tmp_path / "comparisons.csv"
    folders = (sealed(tmp_path / "quick", [0], [FINAL]), sealed(tmp_path / "assembly", [0, 1], [FINAL]))
    with pytest.raises(FileError, match=r"not begun: no suite\.json there"):
        join.join((*folders, tmp_path / "not begun"), table)
    assert not table.exists()
    assert join.join(folders, table) == ["toy/steer/0", "toy/steer/1"]
    rows = join.read_rows(table)
    assert [(row["seed"], row["point"], row["value"]) for row in rows] == [("0", "final", "0.9"), ("1", "final", "0.9")]
    assert all(row["source"] and row["cpu"] for row in rows)
    assert join.join(folders, table) == []
    assert join.read_rows(table) == rows
    edited = tmp_path / "assembly" / "members" / "toy" / "steer" / "1" / "result.json"
    edited.write_text(edited.read_text().replace("0.9", "1.0"))
    with pytest.raises(FileError, match="was changed after it was written"):
        join.join(folders, table)


def test_of_a_learning_curve_every_so_many_steps_are_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "toy", KIND)
    join = load(BENCHMARKS / "join.py", monkeypatch)
    join.join((sealed(tmp_path / "suite", [0], [*CURVE, FINAL]),), tmp_path / "joined.csv")
    kept = [row["env_steps"] for row in join.read_rows(tmp_path / "joined.csv")]
    assert kept == ["0", "8320", "16640", "19840"]


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_can_be_imported(path, monkeypatch):
    for peer in PEERS.get(path.stem, ()):
        pytest.importorskip(peer)
    load(path, monkeypatch)
