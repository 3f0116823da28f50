"""Demonstration programs: named observation fields in, an action out, with a memory of their own.

A program is a Python file with a class `Program`:

    class Program:
        def reset(self, seed): ...            # a new episode begins
        def act(self, observation): ...       # {field name: float32 array} -> action [A] in [-1, 1]

One object runs in each environment, so whatever it remembers belongs in `self`. Package and program know nothing of
each other but these two methods, so the programs of all environments can run in another process (`demos.sandbox`).
"""

from __future__ import annotations

import inspect
import sys
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from expertgen.demos.failure import LONGEST_TEXT, Failure, ProgramError, Verdict, verdict_of
from expertgen.errors import FileError, nearest
from expertgen.tasks.spec import TaskSpec


@runtime_checkable
class Program(Protocol):
    """A demonstrator of one environment, one control step at a time."""

    def reset(self, seed: int) -> None:
        """A new episode begins: forget the old one. The same seed gives the same actions on the same observations."""
        ...

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """Chooses the next action.

        Args:
            observation: field name → float32 array (read-only), with the names, units and frames of the task.

        Returns:
            the action `[A]`; values outside [-1, 1] are clipped by whoever runs the program.
        """
        ...


MakeProgram = Callable[[], Program]
"""Makes one program for one environment."""


@runtime_checkable
class ProgramBatch(Protocol):
    """Programs of all environments at once. What fails is told, not raised: the others go on."""

    def reset(self, ids: np.ndarray, seeds: Sequence[int]) -> dict[int, Failure]:
        """New episodes begin in the environments `ids` `[n]`; returns environment → why its program failed."""
        ...

    def act(self, observation: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, dict[int, Failure]]:
        """Asks the programs of the environments `ids` `[n]`.

        Args:
            observation: float32 `[n, D]`.
            ids: the environments.

        Returns:
            finite actions, float32 `[n, A]`, 0 where a program failed; and environment → why it did.
        """
        ...


class LocalPrograms:
    """Programs that run in this process, one object for each environment.

    Args:
        task: what they demonstrate.
        make_program: makes one of them.
        num_envs: how many there are.
    """

    def __init__(self, task: TaskSpec, make_program: MakeProgram, num_envs: int) -> None:
        self._fields = visible_fields(task)
        self._action_size = task.action_size
        self._programs = [make_program() for _ in range(num_envs)]

    def reset(self, ids: np.ndarray, seeds: Sequence[int]) -> dict[int, Failure]:
        """As `ProgramBatch.reset`."""
        failures = {}
        for i, seed in zip(ids.tolist(), seeds, strict=True):
            try:
                self._programs[i].reset(seed)
            except ProgramError as error:
                failures[i] = error.failure
        return failures

    def act(self, observation: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, dict[int, Failure]]:
        """As `ProgramBatch.act`."""
        rows = observation.astype(np.float32)
        rows.flags.writeable = False  # a program cannot change what is recorded
        actions, failures = np.zeros((len(ids), self._action_size), np.float32), {}
        for i, row, action in zip(ids.tolist(), rows, actions, strict=True):
            try:
                action[:] = self._programs[i].act({name: row[columns] for name, columns in self._fields.items()})
            except ProgramError as error:
                failures[i] = error.failure
        return actions, failures


def visible_fields(task: TaskSpec) -> dict[str, slice]:
    """What a program sees: the task's named fields, or the whole `"observation"` where a task names none."""
    return {f.name: f.columns for f in task.fields} or {"observation": slice(0, task.observation_size)}


def load_program(path: Path, task: TaskSpec) -> MakeProgram:
    """Loads a program from a Python file, which runs in this process with this process's rights.

    Args:
        path: the file.
        task: what it is to demonstrate; decides the shape of an action.

    Returns:
        a function that makes a fresh program. Whatever its methods raise, or return by mistake, becomes a
        `ProgramError` of one line that names the file and the line.

    Raises:
        FileError: if the file is missing, cannot be run, or defines no fitting class `Program`.
    """
    return program_from_source(read_source(path), path, task.action_size)


def read_source(path: Path) -> str:
    """Reads a program without running it.

    Raises:
        FileError: if the file is missing or no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read as text: {error}") from error


def program_from_source(source: str, path: Path, action_size: int) -> MakeProgram:
    """Runs the text of a program; as `load_program`, but nothing is read.

    Args:
        source: the text.
        path: what it is called in messages.
        action_size: number of action dimensions.
    """
    module = types.ModuleType(f"expertgen_program_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    try:
        # Compiled here instead of imported, so that no __pycache__ appears beside the user's file.
        exec(compile(source, str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        raise FileError(f"{path}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise FileError(_one_line(path, error)) from error
    program_class: Any = getattr(module, "Program", None)
    if not inspect.isclass(program_class):
        raise FileError(
            f"{path} defines no class Program; give it one with reset(self, seed) and act(self, observation)"
        )
    _check_methods(path, program_class)
    try:
        program_class()
    except (Exception, SystemExit) as error:
        raise FileError(_one_line(path, error)) from error
    return lambda: _FileProgram(program_class(), path, action_size)


def action_problem(action: object, action_size: int) -> str | None:
    """Says what is wrong with what a program returned, or returns None for an action `[A]` of finite numbers."""
    if action is None:
        return "nothing"
    try:
        array = np.asarray(action, np.float32)
    except (TypeError, ValueError):
        return f"a {type(action).__name__} instead of {action_size} numbers"
    if array.shape != (action_size,):
        return f"shape {list(array.shape)} instead of [{action_size}]"
    if not np.isfinite(array).all():
        return f"a value that is not finite: {array.tolist()}"
    return None


class _FileProgram:
    """A program from a file, with its mistakes turned into one line."""

    def __init__(self, program: Any, path: Path, action_size: int) -> None:
        self._program = program
        self._path = path
        self._action_size = action_size

    def reset(self, seed: int) -> None:
        try:
            self._program.reset(seed)
        except (Exception, SystemExit) as error:
            raise ProgramError(Failure(verdict_of(error), _one_line(self._path, error))) from error

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        try:
            action = self._program.act(observation)
        except (Exception, SystemExit) as error:
            unknown = error.args[0] if isinstance(error, KeyError) and error.args else None
            if isinstance(unknown, str) and len(unknown) < LONGEST_TEXT and unknown not in observation:
                hint = nearest(unknown, observation) or f"; there are {', '.join(observation)}"
                text = f"{_place(self._path, error)}: there is no observation field {unknown!r}{hint}"
                raise ProgramError(Failure(Verdict.ERROR, text)) from error
            raise ProgramError(Failure(verdict_of(error), _one_line(self._path, error))) from error
        if problem := action_problem(action, self._action_size):
            line = type(self._program).act.__code__.co_firstlineno
            text = f"{self._path}, line {line}: act returned {problem}"
            raise ProgramError(Failure(Verdict.ACTION, text))
        return np.asarray(action, np.float32)


def _check_methods(path: Path, program_class: type) -> None:
    for name, argument in (("reset", "seed"), ("act", "observation")):
        method = inspect.getattr_static(program_class, name, None)
        if not inspect.isfunction(method):
            raise FileError(f"{path}: class Program has no method {name}(self, {argument})")
        try:
            inspect.signature(method).bind(None, None)
        except TypeError:
            line = method.__code__.co_firstlineno
            raise FileError(f"{path}, line {line}: {name} must take (self, {argument})") from None


def _place(path: Path, error: BaseException) -> str:
    """The file, and its last line that took part in an error."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)


def _one_line(path: Path, error: BaseException) -> str:
    return f"{_place(path, error)}: {type(error).__name__}: {' '.join(str(error)[:LONGEST_TEXT].split())}"
