"""Metrics: appended, cut at the checkpoint on resume, and readable whenever the writer was killed."""

import sys

import pytest

from expertgen.errors import FileError, TrainingError, UsageError
from expertgen.runs.metrics import MetricsWriter, read_metrics


def rows(*steps):
    return [{"step": step, "loss": step / 4} for step in steps]


def write(folder, *steps, keep_rows=0):
    writer = MetricsWriter(folder, keep_rows)
    for row in rows(*steps):
        writer.write(row)
    return writer


def test_rows_come_back(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert read_metrics(folder) == []
    assert write(folder, 0, 1, 2).rows == 3
    assert read_metrics(folder) == rows(0, 1, 2)


def test_a_half_written_last_line_is_left_out(tmp_path):
    write(tmp_path, 0, 1, 2)
    path = tmp_path / "metrics.jsonl"
    data = path.read_bytes()
    for length in range(data.rindex(b"{"), data.rindex(b"}") + 1):
        path.write_bytes(data[:length])
        assert read_metrics(tmp_path) == rows(0, 1)


@pytest.mark.parametrize("broken", [b'{"step": 1, "lo', b"7", b"", b"\xff"])
def test_any_other_broken_line_is_told(tmp_path, broken):
    write(tmp_path, 0, 1, 2)
    path = tmp_path / "metrics.jsonl"
    first, _, last = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, broken, last]))
    with pytest.raises(FileError, match=r"metrics\.jsonl(, line 2, is no JSON object| is not a readable text file)"):
        read_metrics(tmp_path)


def test_resume_cuts_what_came_after_the_checkpoint(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    write(killed, 0, 1, 2, 3)
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert write(killed, 2, 3, keep_rows=2).rows == 4
    write(whole, 0, 1, 2, 3)
    assert (killed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_new_run_starts_with_an_empty_file(tmp_path):
    write(tmp_path, 0, 1)
    write(tmp_path)
    assert read_metrics(tmp_path) == []


def test_rows_that_were_lost_are_not_counted(tmp_path):
    write(tmp_path, 0, 1)
    assert write(tmp_path, keep_rows=5).rows == 2


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_is_told_in_one_line(tmp_path):
    writer = write(tmp_path, 0)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"cannot write .*metrics\.jsonl: No space left") as caught:
        writer.write({"step": 1})
    assert "\n" not in str(caught.value)


def test_tensorboard(tmp_path):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    writer = MetricsWriter(tmp_path, tensorboard=True)
    for row in rows(0, 1, 2):
        writer.write(row)
    events = loader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(0, 0.0), (1, 0.25), (2, 0.5)]


def test_tensorboard_hides_what_came_after_the_checkpoint(tmp_path):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    killed = [MetricsWriter(tmp_path, tensorboard=True)]  # never flushed or closed by this test
    for row in [*rows(0, 1), {"step": 1, "validated": 1.0}, {"step": 2, "loss": 9.0}, {"step": 5, "loss": 9.0}]:
        killed[0].write(row)
    for keep in (3, 3):
        killed.append(MetricsWriter(tmp_path, keep, tensorboard=True))
        killed[-1].write({"step": 2, "loss": 0.5})
    events = loader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(0, 0.0), (1, 0.25), (2, 0.5)]
    assert [e.step for e in events.Scalars("validated")] == [1]


def test_missing_tensorboard_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="tensorboard is not installed") as caught:
        MetricsWriter(tmp_path, tensorboard=True)
    assert "\n" not in str(caught.value)
