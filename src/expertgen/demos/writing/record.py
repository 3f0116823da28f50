"""The folder of what was asked, answered and tried: readable, complete enough to be replayed without a model.

config.json             what was asked for
system.md               what the model is told about its part
program-1/round-1/      the first version of the first program
    prompt.md           what was asked
    answer.md           what was said
    exchange.json       who said it, tokens and seconds; written last, so its presence says that the answer is whole
    received.txt        what came instead of an answer, where nothing better did
    program.py          the program in it, where there is one
    trial.json          how it did
    frame.png           the end of a failed episode, where the model is shown one
trials.json             all trials, and which programs are kept
best/                   the best version of every program
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from expertgen.demos.writing.models import Answer, NoAnswer
from expertgen.errors import FileError
from expertgen.runs.files import read_json, write_json, write_text


def round_folder(folder: Path, program: int, number: int) -> Path:
    """Where a version of a program is; both count from 1."""
    return folder / f"program-{program}" / f"round-{number}"


def write_exchange(where: Path, answer: Answer) -> None:
    """Keeps an answer."""
    write_text(where / "answer.md", answer.text)
    write_json(where / "exchange.json", {name: value for name, value in asdict(answer).items() if name != "text"})


def write_refusal(where: Path, refusal: NoAnswer) -> None:
    """Keeps what came instead of an answer."""
    if refusal.received:
        write_text(where / "received.txt", refusal.received)


def read_exchange(where: Path) -> Answer | None:
    """Returns the answer in a folder, or None where there is none (yet).

    Raises:
        FileError: if it is damaged.
    """
    path = where / "exchange.json"
    if not path.exists():
        return None
    values: Any = read_json(path)
    try:
        return Answer(text=(where / "answer.md").read_text(encoding="utf-8"), **values)
    except (OSError, TypeError, ValueError) as error:
        raise FileError(f"{where} holds no whole exchange: {' '.join(str(error).split())}") from None
