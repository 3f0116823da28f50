"""Verbs that mix and compare demonstrations; each reads files of ours and writes new ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from expertgen.cli.parsing import CONSOLE, new_file, parse
from expertgen.demos.describe import describe
from expertgen.demos.mix import ALL_OF_THEM, Selection, merge, select, split, subsample, weigh, with_origins
from expertgen.demos.store import DemoSet
from expertgen.errors import UsageError
from expertgen.evaluation.demonstrations import compare_demos
from expertgen.tasks.registry import get_task, task_names
from expertgen.tasks.spec import TaskSpec


def show_demos(path: Path, demos: DemoSet, task: TaskSpec | None) -> None:
    """Prints what demonstrations hold, and where they are."""
    CONSOLE.print(describe(demos, task))
    CONSOLE.print(f"file     {path}")


def known_task(demos: DemoSet, name: str | None) -> TaskSpec | None:
    """The task of that name, which the demonstrations must fit; without a name their own, if it is a known one."""
    if name is None:
        return get_task(demos.task) if demos.task in task_names() else None
    task = get_task(name)
    demos.check(task)
    return task


def _merge(words: list[str]) -> None:
    """Put several files of one task into one."""

    @dataclass(frozen=True)
    class Merge:
        files: Annotated[tuple[Path, ...], tyro.conf.Positional]
        """Demonstrations, as expertgen wrote them; at least two files."""
        out: Path
        """File to write."""

    options = parse(Merge, words, "demos merge")
    if len(options.files) < 2:
        raise UsageError("demos merge takes at least two files")
    _write(options.out, merge([_load(path) for path in options.files]))


def _filter(words: list[str]) -> None:
    """Keep the demonstrations that succeed, are by somebody, or have a certain length."""

    @dataclass(frozen=True)
    class Filter:
        file: Annotated[Path, tyro.conf.Positional]
        """Demonstrations, as expertgen wrote them."""
        out: Path
        """File to write."""
        which: Annotated[Selection, tyro.conf.arg(name="")] = ALL_OF_THEM
        """Which ones."""

    options = parse(Filter, words, "demos filter")
    _write(options.out, select(_load(options.file), options.which))


def _split(words: list[str]) -> None:
    """Divide demonstrations at random into two files."""

    @dataclass(frozen=True)
    class Split:
        file: Annotated[Path, tyro.conf.Positional]
        """Demonstrations, as expertgen wrote them."""
        out: tuple[Path, Path]
        """The two files to write."""
        share: float = 0.9
        """Share of the demonstrations that go into the first."""
        seed: int = 0
        """Seed of the choice."""

    options = parse(Split, words, "demos split")
    if options.out[0].absolute() == options.out[1].absolute():
        raise UsageError(f"--out names {options.out[0]} twice; give two files")
    paths = [new_file(path) for path in options.out]
    for path, part in zip(paths, split(_load(options.file), options.share, options.seed), strict=True):
        _write(path, part)


def _subsample(words: list[str]) -> None:
    """Draw some demonstrations at random."""

    @dataclass(frozen=True)
    class Subsample:
        file: Annotated[Path, tyro.conf.Positional]
        """Demonstrations, as expertgen wrote them."""
        episodes: int
        """How many to draw."""
        out: Path
        """File to write."""
        seed: int = 0
        """Seed of the choice."""

    options = parse(Subsample, words, "demos subsample")
    _write(options.out, subsample(_load(options.file), options.episodes, options.seed))


def _weigh(words: list[str]) -> None:
    """Set how often demonstrations are drawn when a prior is trained."""

    @dataclass(frozen=True)
    class Weigh:
        file: Annotated[Path, tyro.conf.Positional]
        """Demonstrations, as expertgen wrote them."""
        weight: float
        """How often their windows are drawn, relative to a weight of 1."""
        out: Path
        """File to write, with all demonstrations."""
        which: Annotated[Selection, tyro.conf.arg(name="")] = ALL_OF_THEM
        """Which ones; the others keep their weight."""

    options = parse(Weigh, words, "demos weigh")
    _write(options.out, weigh(_load(options.file), options.weight, options.which))


def _compare(words: list[str]) -> None:
    """Show two files of one task side by side."""

    @dataclass(frozen=True)
    class Compare:
        first: Annotated[Path, tyro.conf.Positional]
        """Demonstrations, as expertgen wrote them."""
        second: Annotated[Path, tyro.conf.Positional]
        """Demonstrations of the same task."""

    options = parse(Compare, words, "demos compare")
    first, second = DemoSet.load(options.first), DemoSet.load(options.second)
    CONSOLE.print(compare_demos(first, second, (str(options.first), str(options.second))))


def _load(path: Path) -> DemoSet:
    return with_origins(DemoSet.load(path), path.name)


def _write(path: Path, demos: DemoSet) -> None:
    demos.save(new_file(path))
    show_demos(path, demos, known_task(demos, None))


MIXING: dict[str, Callable[[list[str]], None]] = {
    "merge": _merge,
    "filter": _filter,
    "split": _split,
    "subsample": _subsample,
    "weigh": _weigh,
    "compare": _compare,
}
"""Verb → what it does."""
