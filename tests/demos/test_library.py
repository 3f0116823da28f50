"""The programs that come with the package: that they fit, and that their records give them again."""

import ast
import json
from pathlib import Path

import pytest

from expertgen.cli import main
from expertgen.demos.library import program_file, shipped_programs
from expertgen.demos.program import load_program
from expertgen.demos.writing.answers import summary_of
from expertgen.errors import FileError
from expertgen.pipeline.trials import try_program
from expertgen.tasks.registry import get_task

RECORDS = Path(__file__).parents[2] / "benchmarks" / "programs"


def test_there_are_enough():
    tasks = [name.partition("/")[0] for name in shipped_programs()]
    assert len(set(tasks)) >= 8
    assert sum(tasks.count(task) > 1 for task in set(tasks)) >= 3


@pytest.mark.parametrize("name", shipped_programs())
def test_each_says_what_it_does_and_fits_its_task(name):
    path = shipped_programs()[name]
    task = get_task(path.parent.name)
    source = path.read_text("utf-8")
    assert summary_of(source)
    modules = {
        alias.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for alias in node.names
    }
    assert modules == {"numpy"}
    load_program(path, task)().reset(0)


@pytest.mark.parametrize("name", shipped_programs())
def test_each_is_what_its_record_kept(name):
    path = shipped_programs()[name]
    assert path.read_bytes() in [kept.read_bytes() for kept in (RECORDS / path.parent.name / "best").iterdir()]


def test_one_of_them_still_succeeds():
    trial = try_program(program_file(Path("fetch-push/line")), get_task("fetch-push"), 8, 0)
    assert trial.success > 0.8


def test_a_sabotaged_one_fails(tmp_path):
    source = program_file(Path("fetch-pick-and-place/bow")).read_text("utf-8")
    path = tmp_path / "open.py"
    path.write_text(source.replace("OPEN, CLOSED = 1.0, -1.0", "OPEN, CLOSED = 1.0, 1.0"))
    trial = try_program(path, get_task("fetch-pick-and-place"), 8, 0)
    assert path.read_text() != source
    assert trial.success < 0.5  # some episodes may begin solved
    assert trial.distances


def test_a_record_is_replayed_offline(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    record, again = RECORDS / "fetch-push", tmp_path / "again"
    assert main(["demos", "write", "--replay", str(record), "--out", str(again)]) == 0
    assert "warning" not in capsys.readouterr().err
    for kept in (record / "best").iterdir():
        assert (again / "best" / kept.name).read_bytes() == kept.read_bytes()
    before, after = (json.loads((folder / "trials.json").read_text()) for folder in (record, again))
    assert [version["round"] for version in after["versions"]] == [version["round"] for version in before["versions"]]


def test_files_come_before_names_and_near_names_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert program_file(Path("push/grasp")) == shipped_programs()["push/grasp"]
    (tmp_path / "push").mkdir()
    (tmp_path / "push/grasp").write_text("")
    assert program_file(Path("push/grasp")) == Path("push/grasp")
    with pytest.raises(FileError, match="program: push/gras does not exist; did you mean 'push/grasp'"):
        program_file(Path("push/gras"))


def test_they_are_listed(capsys):
    assert main(["demos", "programs", "push"]) == 0
    shown = capsys.readouterr().out
    assert "push/grasp" in shown
    assert "fetch-push" not in shown
    assert main(["demos", "programs", "pusk"]) == 2
    assert "unknown task 'pusk'; did you mean 'push'" in capsys.readouterr().err
