"""Finding the program in what a model said: between fences, prose and second thoughts."""

from __future__ import annotations

import ast
import re

_THOUGHTS = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[^\n`]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_PROGRAM = re.compile(r"^class Program\b", re.MULTILINE)


def find_program(text: str) -> str | None:
    """Returns the source of the program in an answer, ending with a newline, or None where there is none.

    The last code block that defines a class `Program` and parses is taken, or else the last that defines one: its
    defect is the writer's to mend. Without such a block, the whole answer counts if it is Python. Thoughts
    (`<think>`) do not count.
    """
    text = _THOUGHTS.sub("", text.replace("\r\n", "\n"))
    blocks = [match[2] for match in _FENCE.finditer(text)]
    programs = [block for block in blocks if _PROGRAM.search(block)]
    sound = [block for block in programs if _parses(block)]
    if not programs and not blocks and _PROGRAM.search(text) and _parses(text):
        sound = [text]
    chosen = (sound or programs or [None])[-1]
    return chosen if chosen is None else chosen.strip() + "\n"


def summary_of(source: str) -> str:
    """The first paragraph of a program's docstring in one line, or empty."""
    try:
        documented = ast.get_docstring(ast.parse(source)) or ""
    except (SyntaxError, ValueError):
        return ""
    return " ".join(documented.split("\n\n")[0].split())


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True
