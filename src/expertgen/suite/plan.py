"""A suite: which methods are compared on which tasks over which seeds, from a file, refused before anything starts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from expertgen.errors import FileError, UsageError, nearest
from expertgen.runs.config import read_yaml
from expertgen.suite.kinds import KINDS, Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KEYS = ("name", "tasks", "methods", "seeds", "scale", "reference")


@dataclass(frozen=True)
class Method:
    """What is compared: a kind of run, and how this method does it.

    Attributes:
        kind: name of a `kinds.Kind`.
        settings: what differs from the kind's defaults.
    """

    kind: str
    settings: Settings = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """A comparison.

    Attributes:
        name: what people call it.
        tasks: task ids.
        methods: name → what it is.
        seeds: of every method on every task.
        scale: task → the returns that count as 0 and as 1; needed where returns are averaged over tasks.
        reference: method → task → the band that the final value of each run is expected in.
    """

    name: str
    tasks: tuple[str, ...]
    methods: Mapping[str, Method]
    seeds: tuple[int, ...]
    scale: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reference: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The form of a suite file."""
        methods = {name: {"kind": m.kind, "settings": m.settings} for name, m in self.methods.items()}
        lists = {"tasks": list(self.tasks), "methods": methods, "seeds": list(self.seeds)}
        bands = {"scale": _lists(self.scale), "reference": {m: _lists(bands) for m, bands in self.reference.items()}}
        return {"name": self.name} | lists | bands


@dataclass(frozen=True)
class Member:
    """One run of a suite, described by plain data.

    Attributes:
        task: task id.
        method: name of the method.
        seed: seed.
        kind: name of its `kinds.Kind`.
        settings: all of its settings, resolved.
    """

    task: str
    method: str
    seed: int
    kind: str
    settings: Settings

    def __str__(self) -> str:
        """How it is called, and the path of its folder within the suite's."""
        return f"{self.task.replace('/', '_')}/{self.method}/{self.seed}"


def built_in_suites() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(path.name.removesuffix(".yaml") for path in files("expertgen.suite").joinpath("suites").iterdir())


def find_suite(name_or_file: str) -> Suite:
    """Reads a suite: one that comes with the package, by its name, or a YAML file.

    Raises:
        UsageError: if there is no such suite, or it is not one.
    """
    names = built_in_suites()
    if name_or_file in names:
        path = Path(str(files("expertgen.suite").joinpath("suites", f"{name_or_file}.yaml")))
    elif Path(name_or_file).is_file():
        path = Path(name_or_file)
    else:
        near = nearest(name_or_file, names)
        raise FileError(f"{name_or_file!r} is neither a file nor a suite{near}; there are {', '.join(names)}")
    return suite_from(read_yaml(path), str(path))


def suite_from(value: Mapping[str, Any], where: str) -> Suite:
    """Reads a suite from plain data.

    Args:
        value: in the form of a suite file.
        where: what to call it in a refusal.

    Raises:
        UsageError: naming what is missing, unknown, of the wrong type, empty or there twice.
    """
    _known(value, _KEYS, where)
    name = value.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{where}: name must be a word of letters, digits, '.', '_' and '-', not {name!r}")
    tasks = _distinct(value.get("tasks"), str, "tasks", where)
    seeds = _distinct(value.get("seeds"), int, "seeds", where)
    if min(seeds) < 0:
        raise UsageError(f"{where}: seeds must not be negative, not {min(seeds)}")
    methods = value.get("methods")
    if not isinstance(methods, Mapping) or not methods:
        raise UsageError(f"{where}: methods must name at least one, as NAME: {{kind: {next(iter(KINDS))}}}")
    scale = value.get("scale") or {}
    if not isinstance(scale, Mapping):
        raise UsageError(f"{where}: scale takes TASK: [return that counts as 0, as 1], not {scale!r}")
    reference = value.get("reference") or {}
    if not isinstance(reference, Mapping) or not all(isinstance(bands, Mapping) for bands in reference.values()):
        raise UsageError(f"{where}: reference takes METHOD: {{TASK: [lowest, highest]}}, not {reference!r}")
    for method in reference:
        if method not in methods:
            near = nearest(str(method), methods)
            raise UsageError(f"{where}: reference has {method!r}, which is none of the methods{near}")
    return Suite(
        name,
        tasks,
        {n: _method(n, m, where) for n, m in methods.items()},
        seeds,
        _pairs(scale, tasks, "scale", where),
        {method: _pairs(bands, tasks, f"reference of {method!r}", where) for method, bands in reference.items()},
    )


def narrowed(suite: Suite, tasks: Sequence[str] | None = None, methods: Sequence[str] | None = None) -> Suite:
    """A part of a suite, in the suite's order.

    Args:
        suite: all of it.
        tasks: which of its tasks; None for all.
        methods: which of its methods; None for all.

    Raises:
        UsageError: naming what the suite does not have.
    """
    tasks = _part(suite, "tasks", suite.tasks, tasks)
    methods = _part(suite, "methods", tuple(suite.methods), methods)
    return replace(
        suite,
        tasks=tasks,
        methods={method: suite.methods[method] for method in methods},
        scale={task: ends for task, ends in suite.scale.items() if task in tasks},
        reference={
            method: {task: band for task, band in bands.items() if task in tasks}
            for method, bands in suite.reference.items()
            if method in methods
        },
    )


def members(suite: Suite) -> list[Member]:
    """All runs of a suite, seed by seed, so that a suite that is stopped early has compared everything once.

    Neighbours are of different tasks: they do not wait for each other to make the prior that they share.

    Raises:
        UsageError: naming the task and the method whose settings are refused.
    """
    found = []
    for seed in suite.seeds:
        for name, method in suite.methods.items():
            for task in suite.tasks:
                try:
                    settings = KINDS[method.kind].resolve({**method.settings, "task": task, "seed": seed})
                except UsageError as error:
                    raise type(error)(f"suite {suite.name!r}, task {task!r}, method {name!r}: {error}") from None
                found.append(Member(task, name, seed, method.kind, settings))
    return found


def _part(suite: Suite, name: str, there: tuple[str, ...], wanted: Sequence[str] | None) -> tuple[str, ...]:
    if wanted is None:
        return there
    for one in _distinct(wanted, str, name, f"--{name}"):
        if one not in there:
            near = nearest(one, there)
            raise UsageError(f"--{name}: suite {suite.name!r} has no {one!r}{near}; there are {', '.join(there)}")
    return tuple(one for one in there if one in wanted)


def _method(name: Any, value: Any, where: str) -> Method:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{where}: a method's name is a word of letters, digits, '.', '_' and '-', not {name!r}")
    if not isinstance(value, Mapping) or "kind" not in value:
        raise UsageError(f"{where}: method {name!r} needs a kind: one of {', '.join(KINDS)}")
    _known(value, ("kind", "settings"), f"{where}: method {name!r}")
    kind, settings = value["kind"], value.get("settings") or {}
    if kind not in KINDS:
        near = nearest(str(kind), KINDS)
        raise UsageError(f"{where}: method {name!r} has unknown kind {kind!r}{near}; there are {', '.join(KINDS)}")
    if not isinstance(settings, Mapping):
        raise UsageError(f"{where}: method {name!r}: settings takes a group of settings, not {settings!r}")
    for own in ("task", "seed"):
        if own in settings:
            raise UsageError(f"{where}: method {name!r} sets {own}; the suite's {own}s do that")
    return Method(kind, dict(settings))


def _known(value: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    for key in value:
        if key not in keys:
            raise UsageError(f"{where}: unknown key {key!r}{nearest(str(key), keys)}; there are {', '.join(keys)}")


def _distinct(value: Any, kind: type, name: str, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise UsageError(f"{where}: {name} must be a list of at least one, not {value!r}")
    for index, item in enumerate(value):
        if not isinstance(item, kind) or isinstance(item, bool):
            raise UsageError(f"{where}: {name}[{index}] must be of type {kind.__name__}, not {item!r}")
        if item in value[:index]:
            raise UsageError(f"{where}: {name} has {item!r} twice")
    return tuple(value)


def _pairs(pairs: Mapping[Any, Any], tasks: Sequence[str], name: str, where: str) -> dict[str, tuple[float, float]]:
    for task, pair in pairs.items():
        if task not in tasks:
            raise UsageError(f"{where}: {name} has {task!r}, which is none of the tasks{nearest(str(task), tasks)}")
        numbers = (
            isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(end, int | float) for end in pair)
        )
        if not numbers or not pair[0] < pair[1]:
            raise UsageError(f"{where}: {name}: {task!r} takes two numbers, the lower one first, not {pair!r}")
    return {task: (float(low), float(high)) for task, (low, high) in pairs.items()}


def _lists(pairs: Mapping[str, tuple[float, float]]) -> dict[str, list[float]]:
    return {task: list(pair) for task, pair in pairs.items()}
