"""Published numbers are those of the committed tables."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
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
    tables = load(BENCHMARKS / "tables.py", monkeypatch)
    page = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    assert tables.leaderboard("assembly", "prior", "constant-noise", "steer") in page, (
        "python benchmarks/tables.py prints what docs/leaderboard.md should show"
    )


def test_the_page_of_weightings_shows_what_the_tables_hold(monkeypatch):
    tables = load(BENCHMARKS / "tables.py", monkeypatch)
    page = (ROOT / "docs" / "weightings.md").read_text(encoding="utf-8").splitlines()
    printed = (
        tables.offline("error_newest", 32),
        tables.offline("error_newest_5_steps", 32),
        tables.offline("error_newest", 32, "deterministic"),
        tables.returns("weightings_fast.csv", "weightings-fast"),
    )
    for table in printed:
        missing = [line for line in table.splitlines() if line not in page]
        assert not missing, "python benchmarks/tables.py prints what docs/weightings.md should show"


def test_runs_that_suites_have_in_common_are_joined_once(tmp_path, monkeypatch):
    join = load(BENCHMARKS / "join.py", monkeypatch)
    header = "task,method,seed,point,env_steps,seconds,measure,value,episodes"
    table = tmp_path / "comparisons.csv"
    suites = {
        "quick": ["toy,steer,0,curve,10,1,success,0.5,", "toy,steer,0,final,20,2,success,0.9,256"],
        "assembly": ["toy,steer,0,final,20,3,success,0.9,256", "toy,steer,1,final,20,2,success,0.7,256"],
    }
    for name, rows in suites.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.csv").write_text("\n".join([header, *rows, ""]))
    folders = (tmp_path / "quick", tmp_path / "assembly")
    with pytest.raises(SystemExit, match=r"no results\.csv in .*not begun; give folders of suites"):
        join.join((*folders, tmp_path / "not begun"), table)
    assert not table.exists()
    assert join.join(folders, table) == ["toy/steer/0", "toy/steer/1"]
    assert table.read_text().splitlines() == [header, *suites["quick"], suites["assembly"][1]]
    assert join.join(folders, table) == []


def test_of_a_learning_curve_every_so_many_steps_are_kept(tmp_path, monkeypatch):
    join = load(BENCHMARKS / "join.py", monkeypatch)
    header = "task,method,seed,point,env_steps,seconds,measure,value,episodes"
    curves = [f"toy,{method},0,curve,{steps},1,success,0.5," for steps in range(0, 20_000, 640) for method in "ab"]
    (tmp_path / "results.csv").write_text("\n".join([header, *curves, "toy,a,0,final,19840,2,success,0.9,256", ""]))
    join.join((tmp_path,), tmp_path / "joined.csv")
    kept = [row["env_steps"] for row in join.read_rows(tmp_path / "joined.csv") if row["method"] == "a"]
    assert kept == ["0", "8320", "16640", "19840"]


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_can_be_imported(path, monkeypatch):
    for peer in PEERS.get(path.stem, ()):
        pytest.importorskip(peer)
    load(path, monkeypatch)
