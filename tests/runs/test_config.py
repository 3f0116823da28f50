"""Configuration from mappings: every wrong key, type and value is refused by the name of its field."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from expertgen.errors import FileError, UsageError
from expertgen.runs.config import check_numbers, merged, overlay, read_yaml


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    layers: int = 2

    def __post_init__(self):
        if self.layers < 1:
            raise UsageError(f"inner.layers must be at least 1, not {self.layers}")


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    flag: bool = False
    mode: Literal["mean", "sampled"] = "mean"
    file: Path | None = None
    pair: tuple[float, float] = (0.0, 1.0)
    many: tuple[int, ...] = ()
    inner: Inner = field(default_factory=Inner)


def test_values_at_any_depth():
    changes = {
        "name": "b",
        "flag": True,
        "mode": "sampled",
        "file": "x/y",
        "pair": [1, 2],
        "many": [1, 2, 3],
        "inner": {"rate": 1},
    }
    changed = overlay(Outer(), changes)
    assert changed == Outer("b", True, "sampled", Path("x/y"), (1.0, 2.0), (1, 2, 3), Inner(1.0))
    assert isinstance(changed.inner.rate, float)
    assert overlay(Outer(file=Path("x")), {"file": None}).file is None
    assert overlay(Outer(), {}) == Outer()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nam": "b"}, r"unknown setting 'nam'; did you mean 'name'\?"),
        ({"inner": {"rat": 1.0}}, r"unknown setting 'inner\.rat'; did you mean 'rate'\?"),
        ({"inner": 3}, "inner takes a group of settings, not 3"),
        ({"inner": {"layers": 2.5}}, r"inner\.layers must be of type int, not 2\.5"),
        ({"inner": {"layers": True}}, r"inner\.layers must be of type int, not True"),
        ({"inner": {"rate": "fast"}}, r"inner\.rate must be of type float, not 'fast'"),
        ({"inner": {"layers": 0}}, r"inner\.layers must be at least 1, not 0"),
        ({"flag": 1}, "flag must be of type bool, not 1"),
        ({"name": None}, "name must be of type str, not None"),
        ({"mode": "max"}, "mode must be one of mean, sampled, not 'max'"),
        ({"pair": [1.0]}, "pair takes 2 values, not 1"),
        ({"many": [1, "x"]}, r"many\[1\] must be of type int, not 'x'"),
        ({"many": 3}, "many must be of type"),
        ({7: 1}, "unknown setting '7'"),
    ],
)
def test_wrong_settings_are_refused_by_name(changes, message, wrong_types):
    with pytest.raises(UsageError, match=message) as caught:
        overlay(Outer(), changes)
    assert "\n" not in str(caught.value)


def test_values_without_checks_are_checked_later(wrong_types):
    unchecked = overlay(Outer(), {"inner": {"layers": 0}}, check=False)
    assert unchecked.inner.layers == 0
    with pytest.raises(UsageError, match=r"inner\.layers must be at least 1"):
        overlay(unchecked, {"inner": {"rate": 0.5}})
    assert overlay(unchecked, {"inner": {"layers": 3}}) == Outer(inner=Inner(layers=3))
    with pytest.raises(UsageError, match="unknown setting"):
        overlay(Outer(), {"nam": 1}, check=False)


@dataclass(frozen=True)
class Outermost:
    twice: Outer = field(default_factory=Outer)
    outer: Outer = field(default_factory=Outer)


def test_refusals_name_the_whole_path_of_a_field():
    """Options do not know what they are part of."""
    with pytest.raises(UsageError, match=r"^twice\.inner\.layers must be at least 1, not 0$"):
        overlay(Outermost(), {"twice": {"inner": {"layers": 0}}})


def test_later_mappings_win_at_any_depth():
    assert merged({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"c": 3}}, {"a": {"e": 4}}) == {
        "a": {"e": 4},
        "b": {"c": 3, "d": 2},
    }
    assert merged() == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_at_any_depth(value):
    check_numbers(Outer())
    with pytest.raises(UsageError, match=r"inner\.rate must be a finite number, not"):
        check_numbers(Outer(inner=Inner(rate=value)))


def test_yaml(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: b\ninner:\n  rate: 0.5\n")
    assert read_yaml(path) == {"name": "b", "inner": {"rate": 0.5}}
    path.write_text("")
    assert read_yaml(path) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- 1\n- 2\n", "must hold a mapping"),
        (b"a: [1\nb: 2\n", "not a readable YAML file"),
        (b"\xff\xfe\xff", "not a readable YAML file"),
    ],
)
def test_broken_yaml_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileError, match="does not exist"):
        read_yaml(tmp_path / "b.yaml")
