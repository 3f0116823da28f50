"""Configuration from files: plain mappings become nested frozen dataclasses; wrong keys and types are refused."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from expertgen.errors import FileError, UsageError, nearest

Config = TypeVar("Config")


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML (or JSON) file whose top level is a mapping.

    Raises:
        FileError: if it is missing, not YAML, or not a mapping.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FileError(f"{path} is not a readable YAML file: {' '.join(str(error).split())}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FileError(f"{path} must hold a mapping (key: value), not a {type(value).__name__}")
    return value


def merged(*changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one, in which later ones win."""
    result: dict[str, Any] = {}
    for mapping in changes:
        for key, value in mapping.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if both else value
    return result


def unchecked(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """A frozen dataclass with all these values, whose own checks (`__post_init__`) are left for later."""
    made = object.__new__(kind)
    vars(made).update(values)
    return made


def check_numbers(config: Any, where: str = "") -> None:
    """Refuses numbers that are not finite, at any depth: what compares with NaN passes no check, or all of them.

    Raises:
        UsageError: naming the field.
    """
    for name, value in vars(config).items():
        if dataclasses.is_dataclass(value):
            check_numbers(value, f"{where}{name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{where}{name} must be a finite number, not {value}")


def overlay(config: Config, changes: Mapping[str, Any], check: bool = True) -> Config:
    """Returns a copy of a dataclass with some values replaced, at any depth.

    Args:
        config: a frozen dataclass, possibly holding others.
        changes: field name → value, or → mapping for a nested dataclass.
        check: whether impossible values are refused; without, only unknown keys and wrong types are.

    Raises:
        UsageError: naming the field, for an unknown key, a wrong type or an impossible value.
    """
    changed = _overlaid(config, changes, "")
    return checked(changed) if check else changed


def checked(config: Config, where: str = "") -> Config:
    """A dataclass made anew, at all depths, so that its own checks (`__post_init__`) run.

    Args:
        config: a dataclass, possibly holding others.
        where: path to its fields, e.g. `"residual.sac."`. Its own refusals know the last part of that alone.

    Raises:
        UsageError: naming the field with its whole path.
    """
    own = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    made = {n: checked(value, f"{where}{n}.") if dataclasses.is_dataclass(value) else value for n, value in own.items()}
    try:
        return type(config)(**made)
    except UsageError as error:
        last = where.rstrip(".").rpartition(".")[2]
        raise type(error)(re.sub(rf"(?<![\w.]){last}\.", where, str(error)) if last else str(error)) from None


def _overlaid(config: Config, changes: Mapping[str, Any], where: str) -> Config:
    hints = get_type_hints(type(config))
    replaced = {}
    for key, value in changes.items():
        name = f"{where}{key}"
        if key not in hints:
            raise UsageError(f"unknown setting {name!r}{nearest(str(key), hints)}")
        current = getattr(config, key)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, Mapping):
                raise UsageError(f"{name} takes a group of settings, not {value!r}")
            replaced[key] = _overlaid(current, value, f"{name}.")
        else:
            replaced[key] = _typed(value, hints[key], name)
    return unchecked(type(config), vars(config) | replaced)


def _typed(value: Any, hint: Any, name: str) -> Any:
    """Checks a plain value against a type hint; integers pass for floats, lists for tuples, text for paths."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value in arguments:
            return value
        raise UsageError(f"{name} must be one of {', '.join(map(str, arguments))}, not {value!r}")
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _typed(value, next(a for a in arguments if a is not type(None)), name)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise UsageError(f"{name} takes {len(kinds)} values, not {len(value)}")
        return tuple(_typed(v, k, f"{name}[{i}]") for i, (v, k) in enumerate(zip(value, kinds, strict=True)))
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-6, without a dot, as text
        with suppress(ValueError):
            return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool):
        return value
    expected = hint.__name__ if isinstance(hint, type) else str(hint)
    raise UsageError(f"{name} must be of type {expected}, not {value!r}")


def plain(config: Any) -> dict[str, Any]:
    """A dataclass as nested plain values that JSON and YAML can hold; `overlay` reads them back."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))
