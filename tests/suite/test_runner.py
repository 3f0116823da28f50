"""The pool: every member on a core of its own, none lost when one fails, and the same table however often it dies."""

import csv
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from rich.console import Console

from expertgen.cli import main
from expertgen.cli import suite as suite_cli
from expertgen.errors import FileError, UsageError
from expertgen.runs.machine import available_cores
from expertgen.runs.progress import drain
from expertgen.suite import kinds, runner
from expertgen.suite.display import standings_table
from expertgen.suite.plan import suite_from
from expertgen.suite.runner import read_standings, run_suite
from expertgen.suite.table import COLUMNS
from tests import killing
from tests.suite.toy import KIND

# Members fork at once from where the suite runs; the server that it has otherwise takes seconds to start.
FORK = multiprocessing.get_context("fork")
FORK.set_forkserver_preload = lambda modules: None
WORKERS = min(2, available_cores())


def toys(**settings):
    methods = {"slow": {"kind": "toy", "settings": {"pause": 0.01, **settings}}, "quick": {"kind": "toy"}}
    return suite_from({"name": "toys", "tasks": ["toy-a", "toy-return"], "methods": methods, "seeds": [0, 1]}, "toys")


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "toy", KIND)
    monkeypatch.setattr(runner, "CONTEXT", FORK)


def finish(suite, folder, workers=WORKERS):
    return drain(run_suite(suite, folder, workers, "expertgen suite toys.yaml"))


def starts(folder, name):
    path = folder / "members" / name / "run" / "starts.txt"
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A suite that is done, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(kinds.KINDS, "toy", KIND)
        patch.setattr(runner, "CONTEXT", FORK)
        folder = tmp_path_factory.mktemp("suite")
        finish(toys(), folder)
        return folder


@pytest.fixture
def done(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "done")


@pytest.mark.skipif(WORKERS < 2 or not hasattr(os, "sched_setaffinity"), reason="needs two cores to pin to")
def test_members_run_side_by_side_on_cores_of_their_own(tmp_path):
    side_by_side = 0
    for standings in run_suite(toys(pause=0.05), tmp_path, 2, ""):
        side_by_side = max(side_by_side, sum(s.state == "running" for s in standings.values()))
    assert side_by_side == 2
    cores = [starts(tmp_path, name)[0]["cores"] for name in standings]
    assert all(len(own) == 1 for own in cores)
    assert cores[0] != cores[1]
    assert len({starts(tmp_path, name)[0]["pid"] for name in standings}) == len(standings)


def test_table_is_tidy(done):
    with (done / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    runs = {(row["task"], row["method"], row["seed"]) for row in rows}
    assert runs == {(t, m, s) for t in ("toy-a", "toy-return") for m in ("slow", "quick") for s in "01"}
    final = [row for row in rows if row["point"] == "final"]
    assert len(final) == len(runs)
    assert {(row["task"], row["measure"]) for row in rows} == {("toy-a", "success"), ("toy-return", "return")}
    assert {row["episodes"] for row in final} == {"16"}
    assert {row["episodes"] for row in rows if row["point"] == "curve"} == {""}
    assert all(float(row["value"]) >= 0 and int(row["env_steps"]) > 0 and float(row["seconds"]) > 0 for row in rows)
    assert len(rows) == len(runs) * 11


def work(folder):
    kinds.KINDS["toy"] = KIND
    runner.CONTEXT = FORK
    # Members that were forked hold the lock of the suite that was killed until they, too, are dead.
    patience = time.monotonic() + 10
    while time.monotonic() < patience:
        try:
            finish(toys(pause=0.04), folder, 1)
            return
        except UsageError:
            time.sleep(0.01)
    raise AssertionError("the lock of a suite that was killed is still held")


def test_a_suite_killed_again_and_again_gives_the_same_table(tmp_path):
    seconds = killing.finish(work, tmp_path / "whole")
    kills = killing.finish_killed_at_random_times(work, tmp_path / "killed", seconds, seed=3)
    assert kills >= 1
    assert (tmp_path / "killed" / "results.csv").read_bytes() == (tmp_path / "whole" / "results.csv").read_bytes()
    # Members that were under way went on where they were, and those that were done were left alone.
    begun = [
        start["from"]
        for name in read_standings(tmp_path / "killed", toys(pause=0.04))
        for start in starts(tmp_path / "killed", name)
    ]
    assert any(begun)
    assert begun.count(10) <= kills  # only if it was killed between its last step and its result


def test_finished_members_are_not_done_again(done):
    before = {
        path: path.stat().st_mtime_ns
        for path in done.rglob("*")
        if path.parent.name == "run" or path.name == "result.json"
    }
    (done / "members/toy-a/quick/1/result.json").unlink()
    finish(toys(), done)
    changed = {path for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert {path.parent for path in changed} == {done / "members/toy-a/quick/1", done / "members/toy-a/quick/1/run"}


def test_a_failing_member_stops_no_other_and_is_tried_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    methods = {
        "raises": {"kind": "toy", "settings": {"fail_at": 3}},
        "aborts": {"kind": "toy", "settings": {"abort_at": 3}},
        "fine": {"kind": "toy"},
    }
    suite = {"name": "toys", "tasks": ["toy-a"], "methods": methods, "seeds": [0, 1]}
    (tmp_path / "toys.yaml").write_text(yaml.safe_dump(suite))
    for words in (["suite", "toys.yaml", "--out", "out"], ["suite", "--resume", "out"]):
        assert main(words) == 1
        error = capsys.readouterr().err
        assert "4 of 6 runs failed" in error
        assert "toy-a/raises/1 (log: out/members/toy-a/raises/1/log.txt)" in error
        assert "try them again with: expertgen suite --resume out" in error
    standings = read_standings(tmp_path / "out", suite_from(suite, ""))
    assert [s.state for s in standings.values()] == ["failed", "failed", "done"] * 2
    assert standings["toy-a/raises/0"].error == "ValueError: the toy broke"
    assert "SIGABRT" in standings["toy-a/aborts/0"].error
    log = (tmp_path / "out/members/toy-a/raises/0/log.txt").read_text()
    assert log.count("something is about to break") == 2
    assert "Traceback" in log
    assert "Fatal Python error: Aborted" in (tmp_path / "out/members/toy-a/aborts/0/log.txt").read_text()
    assert len(starts(tmp_path / "out", "toy-a/fine/0")) == 1
    assert "toy-a/raises/0" in (tmp_path / "out" / "report.html").read_text()


def edit_value(path):
    content = json.loads(path.read_text())
    content["points"][-1][4] = 1.0
    path.write_text(json.dumps(content))


def edit(key, value):
    def change(path):
        from expertgen.suite.member import _digest

        content = json.loads(path.read_text()) | {key: value}
        content.pop("digest")
        path.write_text(json.dumps(content | {"digest": _digest(content)}))

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edit_value, "was changed after it was written"),
        (edit("format", 1), "is not a result of format 2"),
        (edit("expertgen", "0.0.1"), "was written by expertgen 0.0.1"),
        (lambda path: path.write_text("[]"), "is not a result of format 2"),
        (lambda path: path.write_text("{"), "not a readable JSON file"),
    ],
)
def test_changed_results_are_refused_by_name(done, change, said):
    change(done / "members/toy-return/slow/1/result.json")
    with pytest.raises(FileError, match=said) as refusal:
        finish(toys(), done)
    assert "members/toy-return/slow/1/result.json" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_suite_whose_settings_were_changed_is_refused(done):
    with pytest.raises(FileError, match=r"toy-a/slow/0/result\.json is of other settings"):
        finish(toys(skill=0.3), done)
    for path in done.rglob("result.json"):
        path.unlink()
    with pytest.raises(FileError, match=r"toy-a/slow/0/member\.json is of other settings"):
        finish(toys(skill=0.3), done)


def test_a_run_that_measures_nonsense_fails(tmp_path, monkeypatch):
    def nothing(settings, folder):
        return [point for point in KIND.read(settings, folder) if point.point != "final"]

    def not_a_number(settings, folder):
        return [type(point)(**{**vars(point), "value": float("nan")}) for point in KIND.read(settings, folder)]

    for read, said in ((nothing, "the run has 0 final values"), (not_a_number, "something that is no result")):
        monkeypatch.setitem(kinds.KINDS, "toy", kinds.Kind(KIND.resolve, KIND.run, read))
        standings = finish(toys(), tmp_path / read.__name__)
        assert all(said in standing.error for standing in standings.values())


def test_one_suite_at_a_time_in_a_folder(tmp_path):
    loop = run_suite(toys(pause=0.1), tmp_path, 1, "")
    next(loop)
    with pytest.raises(UsageError, match="another process is at work"):
        finish(toys(pause=0.1), tmp_path)
    loop.close()


def test_an_interrupted_suite_ends_its_members_and_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toys.yaml").write_text(yaml.safe_dump(toys(pause=0.2).to_json()))

    def interrupted(loop, suite, console, workers):
        for standings in loop:
            if any(standing.progress for standing in standings.values()):
                loop.close()
                raise KeyboardInterrupt

    monkeypatch.setattr(suite_cli, "watch", interrupted)
    assert main(["suite", "toys.yaml"]) == 1
    assert "continue with: expertgen suite --resume suites/toys" in capsys.readouterr().err
    assert not multiprocessing.active_children()
    assert (tmp_path / "suites/toys/results.csv").read_text().count("\n") >= 1


def test_runs_outside_of_the_reference_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    suite = toys()
    bands = {"toy-a": [0.0, 1.0], "toy-b": [0.0, 0.1]}
    method = next(iter(suite.methods))
    value = suite.to_json() | {"tasks": list(bands), "scale": {}, "reference": {method: bands}}
    (tmp_path / "toys.yaml").write_text(yaml.safe_dump(value))
    assert main(["suite", "toys.yaml"]) == 1
    told = capsys.readouterr().err
    assert f"outside of the suite's reference: toy-b/{method}/0 has 0." in told
    assert "not 0 to 0.1" in told
    assert "toy-a" not in told
    assert (tmp_path / "suites/toys/report.html").exists(), "nothing is lost"


def gone(pid):
    """Whether a process has ended, buried or not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_members_die_with_a_suite_that_is_killed(tmp_path):
    (tmp_path / "toys.yaml").write_text(yaml.safe_dump(toys(pause=60).to_json()))
    code = (
        "import sys; from expertgen.suite import kinds; from tests.suite.toy import KIND\n"
        "from expertgen.cli import main\n"
        "kinds.KINDS['toy'] = KIND\n"
        "if __name__ == '__main__': sys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "suite", str(tmp_path / "toys.yaml"), "--out", str(tmp_path / "out")]
    suite = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = tmp_path / "out/members/toy-a/slow/0/run/starts.txt"
    while not (first.exists() and first.read_text().endswith("\n")):
        assert suite.poll() is None
        time.sleep(0.05)
    suite.send_signal(signal.SIGKILL)
    suite.wait()
    pid = starts(tmp_path / "out", "toy-a/slow/0")[0]["pid"]
    deadline = time.monotonic() + 60
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(pid)


def test_every_member_is_in_the_progress_table(tmp_path):
    suite = toys(pause=0.02, fail_at=5)
    pictures = []
    for standings in run_suite(suite, tmp_path, WORKERS, ""):
        console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
        console.print(standings_table(standings, suite, 61.0, WORKERS))
        pictures.append(console.export_text())
    assert "waiting" in pictures[0]
    assert "1 min 1 s" in pictures[0].replace("\u202f", " ")
    for words in ("✗ failed", "✓ 7", "4 done", "4 failed"):
        assert words in pictures[-1], words
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(standings_table(standings, suite, 61.0, WORKERS, most_rows=3))
    assert "and 1 more rows" in console.export_text()
