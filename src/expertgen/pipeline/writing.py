"""A language model writes demonstration programs: it is asked, its program is tried, and it is told how that went."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import tyro

from expertgen.demos.writing.answers import find_program, summary_of
from expertgen.demos.writing.models import Answer, FlatModelConfig, Message, Model, ModelConfig, NoAnswer
from expertgen.demos.writing.prompt import SYSTEM, feedback, no_program, task_prompt
from expertgen.demos.writing.record import read_exchange, round_folder, write_exchange, write_refusal
from expertgen.demos.writing.trial import Trial
from expertgen.errors import UsageError, warn
from expertgen.pipeline.trials import check_picture, check_sandbox, failed_picture, try_program
from expertgen.runs.config import overlay, read_yaml
from expertgen.runs.files import write_bytes, write_json, write_text
from expertgen.runs.progress import StageProgress
from expertgen.runs.ranges import Count, Natural, Part, check_ranges
from expertgen.tasks.registry import get_task, make_env
from expertgen.tasks.spec import TaskSpec

STARTS = 32
"""Episodes whose starts are shown as ranges of the fields."""


@dataclass(frozen=True)
class WriteConfig:
    """How programs are written: by which model, how many, and in how many versions each."""

    task: tyro.conf.Suppress[str]
    """Task id."""
    model: FlatModelConfig = field(default_factory=ModelConfig)
    """Which model is asked, and how."""
    programs: Count = 2
    """Programs to write; each is asked to differ from those before it."""
    rounds: Count = 4
    """Versions of each program at most."""
    enough: Part = 0.9
    """Success at which a program is not improved any more."""
    episodes: Count = 32
    """Episodes in which each version is tried."""
    frame: bool = False
    """Show the model a picture of a failed episode's end; for models that see, on tasks of MetaWorld."""
    token_budget: Count | None = None
    """Stop asking once prompts and answers together have taken so many tokens."""
    sandbox: bool = True
    """Run programs in a sandbox; without, they have your own rights."""
    seed: Natural = 0
    """Seed of the trials."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Version:
    """One version of a program.

    Attributes:
        program: number of the program, from 1.
        round: number of the version, from 1.
        path: its file, None where the answer held no program.
        trial: how it did, None without a program.
        answer: what the model said.
    """

    program: int
    round: int
    path: Path | None
    trial: Trial | None
    answer: Answer

    @property
    def success(self) -> float:
        """Share of episodes that succeed; -1 without a program."""
        return self.trial.success if self.trial else -1.0


@dataclass(frozen=True)
class Written:
    """What came of it.

    Attributes:
        versions: all of them, in order.
        kept: files of the best version of every program that ever succeeds.
        tokens_in: tokens of all prompts.
        tokens_out: tokens of all answers.
        cost: what they cost, None without prices.
    """

    versions: tuple[Version, ...]
    kept: tuple[Path, ...]
    tokens_in: int
    tokens_out: int
    cost: float | None


def first_prompt(config: WriteConfig) -> str:
    """What a model would be asked first, its part included."""
    task = get_task(config.task)
    return f"{SYSTEM}\n\n{task_prompt(task, _starts(task, config.seed))}"


def saved_config(folder: Path) -> WriteConfig:
    """The settings in a folder of earlier work.

    Raises:
        FileError: if there are none, or they are damaged.
    """
    saved = read_yaml(folder / "config.json")
    return overlay(WriteConfig(str(saved.get("task"))), saved)


def check_writing(config: WriteConfig) -> None:
    """Refuses what would only be found out after the first answer was paid for.

    Raises:
        UsageError: naming what is wrong.
    """
    task = get_task(config.task)
    if not task.success:
        raise UsageError(f"task {task.id!r} has no success rule, so a program for it cannot be judged; choose another")
    if config.frame:
        check_picture(task)


def write_programs(
    config: WriteConfig, folder: Path, model: Model | None, recorded: Path | None = None
) -> Generator[StageProgress, None, Written]:
    """Asks, tries and tells, program by program; everything is kept in a folder (`demos.writing.record`).

    Answers that the folder has already are not asked for again, so a killed run continues.

    Args:
        config: how.
        folder: where to keep everything.
        model: who is asked; None to go through recorded answers only.
        recorded: another folder, whose answers are taken first.

    Yields:
        versions tried, with their success.

    Returns:
        what came of it.

    Raises:
        UsageError: if the task has no success rule or cannot be pictured, or programs cannot be confined.
        NoAnswer: if the model gives none; what came instead is in the folder, which can be continued.
    """
    check_writing(config)
    if config.sandbox:
        check_sandbox(get_task(config.task))
    write_json(folder / "config.json", asdict(config))
    write_text(folder / "system.md", SYSTEM + "\n")
    desk = _Desk(config, folder, model, recorded)
    for number in range(1, config.programs + 1):
        yield from desk.write(number)
    return desk.close()


class _Desk:
    """Where programs are written, one after the other."""

    def __init__(self, config: WriteConfig, folder: Path, model: Model | None, recorded: Path | None) -> None:
        self._config = config
        self._folder = folder
        self._model = model
        self._recorded = recorded
        self._task = get_task(config.task)
        self._starts = _starts(self._task, config.seed)
        self._versions: list[Version] = []
        self._warned = False

    def write(self, number: int) -> Generator[StageProgress, None, None]:
        """Writes one program in several versions."""
        config = self._config
        messages = [Message("user", task_prompt(self._task, self._starts, self._others()))]
        for count in range(1, config.rounds + 1):
            yield self._progress(number, count - 1)
            where = round_folder(self._folder, number, count)
            answer = self._answer(where, messages)
            if answer is None:
                break
            version = self._try(number, count, where, answer)
            self._versions.append(version)
            if version.success >= config.enough or count == config.rounds:
                break
            left = config.rounds - count
            # One picture is enough: it is the dearest part of a prompt, and an old one says little.
            messages = [Message(message.role, message.text) for message in messages]
            messages += [Message("assistant", answer.text or "(nothing)"), self._reply(where, version, left)]
        yield self._progress(number, config.rounds)

    def close(self) -> Written:
        """Sums up, in files too."""
        best = [version for version in self._best() if version.success > 0]
        kept = []
        for version in best:
            assert version.path is not None
            kept.append(self._folder / "best" / f"program-{version.program}.py")
            write_bytes(kept[-1], version.path.read_bytes())
        tokens = self._tokens("tokens_in"), self._tokens("tokens_out")
        written = Written(tuple(self._versions), tuple(kept), *tokens, self._config.model.cost(*tokens))
        rows = [
            {
                "program": version.program,
                "round": version.round,
                "kept": version in best,
                "success": version.trial and round(version.success, 4),
                "low": version.trial and version.trial.low,
                "high": version.trial and version.trial.high,
                "summary": summary_of(version.path.read_text("utf-8")) if version.path else "no program in the answer",
            }
            for version in self._versions
        ]
        totals = {"tokens_in": tokens[0], "tokens_out": tokens[1], "cost": written.cost}
        write_json(self._folder / "trials.json", {"task": self._task.id, **totals, "versions": rows})
        return written

    def _answer(self, where: Path, messages: list[Message]) -> Answer | None:
        """The recorded answer, or a new one; None where neither is to be had any more."""
        asked = messages[-1]
        answer = read_exchange(where)
        if answer is None and self._recorded is not None:
            source = self._recorded / where.relative_to(self._folder)
            answer = read_exchange(source)
            if answer is not None:
                self._compare(source, asked)
        if answer is None and (self._model is None or self._spent()):
            return None
        write_text(where / "prompt.md", asked.text)
        if asked.image is not None:
            write_bytes(where / "frame.png", asked.image)
        if answer is None:
            assert self._model is not None
            try:
                answer = self._model.ask(SYSTEM, messages)
            except NoAnswer as refusal:
                write_refusal(where, refusal)
                raise
        write_exchange(where, answer)
        return answer

    def _try(self, number: int, count: int, where: Path, answer: Answer) -> Version:
        source = find_program(answer.text)
        if source is None:
            return Version(number, count, None, None, answer)
        path = where / "program.py"
        write_text(path, source)
        trial = try_program(path, self._task, self._config.episodes, self._config.seed, self._config.sandbox)
        write_json(where / "trial.json", trial.as_json())
        return Version(number, count, path, trial, answer)

    def _reply(self, where: Path, version: Version, left: int) -> Message:
        if version.trial is None or version.path is None:
            return Message("user", no_program(version.answer.stop == "length", left))
        image = None
        if self._config.frame:
            image = failed_picture(version.path, self._task, self._config.seed, self._config.sandbox)
        return Message("user", feedback(version.trial, left, image is not None), image)

    def _best(self) -> list[Version]:
        """The best version of every program, of equals the earliest."""
        numbers = sorted({version.program for version in self._versions})
        return [max((v for v in self._versions if v.program == n), key=lambda v: v.success) for n in numbers]

    def _others(self) -> list[tuple[str, float]]:
        return [(summary_of(v.path.read_text("utf-8")), v.success) for v in self._best() if v.path and v.success > 0]

    def _compare(self, source: Path, asked: Message) -> None:
        path = source / "prompt.md"
        if not self._warned and path.exists() and path.read_text(encoding="utf-8") != asked.text:
            self._warned = True
            warn(f"{path} differs from what would be asked now; the recorded answer is taken all the same")

    def _tokens(self, name: str) -> int:
        return sum(getattr(version.answer, name) for version in self._versions)

    def _spent(self) -> bool:
        budget = self._config.token_budget
        return budget is not None and self._tokens("tokens_in") + self._tokens("tokens_out") >= budget

    def _progress(self, number: int, count: int) -> StageProgress:
        rounds, programs = self._config.rounds, self._config.programs
        shown = {f"program {v.program}": max(0.0, v.success) for v in self._best()}
        return StageProgress("write", (number - 1) * rounds + count, programs * rounds, "versions", shown)


def _starts(task: TaskSpec, seed: int) -> np.ndarray:
    with closing(make_env(task, STARTS)) as env:
        return env.reset(seed=seed)[0]
