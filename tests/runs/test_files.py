"""Atomic files: whatever goes wrong while writing, the old content stays and nothing is left beside it."""

import os
import resource
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from expertgen.errors import FileError, TrainingError
from expertgen.runs.files import atomic_path, read_json, write_json, write_text

NOBODY = 65534


@contextmanager
def file_size_limit(size):
    """The disk is full beyond `size` bytes a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def unprivileged():
    """Root may write anywhere; inside it is nobody."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "deep" / "folder" / "a.txt"
    write_text(path, "old")
    write_text(path, "new: σ")
    assert path.read_text(encoding="utf-8") == "new: σ"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_old_content_is_seen_until_the_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert temporary.parent == path.parent, "a rename is atomic within one file system only"
        assert path.read_text() == "old"
        inode = temporary.stat().st_ino
    assert path.read_text() == "half"
    assert path.stat().st_ino == inode, "renamed, not copied"


def test_what_a_killed_writer_left_is_overwritten(tmp_path):
    path = tmp_path / "a.txt"
    abandoned = atomic_path(path)
    abandoned.__enter__().write_text("half of something long")
    with atomic_path(path) as temporary:
        assert temporary.read_text() == ""
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_keeps_the_old_content_and_leaves_nothing(tmp_path, error):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail_half_way():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_keeps_the_old_content_and_is_told_in_one_line(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with file_size_limit(1000), pytest.raises(TrainingError, match=r"cannot write .*a\.txt: .*--resume") as caught:
        write_text(path, "x" * 5000)
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_read_only_folder_is_told_in_one_line():
    # Not under tmp_path, whose parents are closed to nobody.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    try:
        with unprivileged(), pytest.raises(TrainingError, match=r"cannot write .*a\.txt: Permission denied") as caught:
            write_text(folder / "a.txt", "x")
        assert "\n" not in str(caught.value)
        assert list(folder.iterdir()) == []
    finally:
        folder.rmdir()


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "run").write_text("not a folder")
    with pytest.raises(TrainingError, match=r"cannot write .*run/a\.json"):
        write_json(tmp_path / "run" / "a.json", {})
    assert (tmp_path / "run").read_text() == "not a folder"


def test_json_round_trip(tmp_path):
    value = {"a": [1, 2.5, None, True], "b": {"c": "é"}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe"])
def test_broken_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"a\.json is not a readable JSON file") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileError, match=r"b\.json does not exist"):
        read_json(tmp_path / "b.json")
