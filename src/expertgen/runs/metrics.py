"""`metrics.jsonl`: one JSON object a line, append-only, cut back to the last checkpoint on resume."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expertgen.errors import FileError, TrainingError, UsageError
from expertgen.runs.files import write_text


class MetricsWriter:
    """Appends rows to `folder/metrics.jsonl`, and to TensorBoard event files where that extra is installed.

    A training loop stores `writer.rows` in its checkpoint. After a kill it opens the writer with that number, and rows
    written after the checkpoint are cut, so that a resumed run's file equals that of a run that was not killed.
    TensorBoard hides them, too.
    """

    def __init__(self, folder: Path, keep_rows: int = 0, tensorboard: bool = False) -> None:
        self.path = folder / "metrics.jsonl"
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = lines[:keep_rows]
        write_text(self.path, "".join(f"{line}\n" for line in kept))
        self.rows = len(kept)
        first = json.loads(kept[-1]).get("step", self.rows) + 1 if kept else 0
        self._board = _summary_writer(folder, first) if tensorboard else None

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends one row; numbers also go to TensorBoard under their key, at the row's `"step"`."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(row)) + "\n")
        except OSError as error:
            raise TrainingError(f"cannot write {self.path}: {error.strerror}; free the disk, then --resume") from error
        self.rows += 1
        if self._board is not None:
            for key, value in row.items():
                if isinstance(value, int | float) and key != "step":
                    self._board.add_scalar(key, value, row.get("step", self.rows))
            self._board.flush()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Reads `folder/metrics.jsonl`; a missing file is no rows, a half-written last line is left out.

    Raises:
        FileError: if the file cannot be read or another line is no JSON object.
    """
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is not a readable text file: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif number < len(lines):
            raise FileError(f"{path}, line {number}, is no JSON object")
    return rows


def _summary_writer(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "tensorboard is not installed; pip install 'expertgen[tensorboard]' or run without --tensorboard"
        ) from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)
