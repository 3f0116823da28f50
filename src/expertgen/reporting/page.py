"""What all pages have in common: one frame, one style, the same words, and settings as rows."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from expertgen.errors import UsageError
from expertgen.reporting import words

_HOME = "expertgen.reporting"


def require_report() -> None:
    """Refuses at once what would otherwise fail at its end, after hours of work: a report without what it is made with.

    Raises:
        UsageError: if the extra `report` is not installed.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(f"the report needs {error.name}: pip install 'expertgen[report]'") from error


def load_template(name: str, package: str = _HOME, style: str | None = None) -> Any:
    """A page's template.

    Args:
        name: of its file.
        package: whose file it is; the frame and the parts are always there, too.
        style: a style sheet of that package, to follow the common one.

    Raises:
        UsageError: if the extra `report` is not installed.
    """
    require_report()  # the figures need it as well as the template: better refused here than half-way
    import jinja2

    loaders = [jinja2.PackageLoader(place, ".") for place in dict.fromkeys((package, _HOME))]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for word in (
        words.percent,
        words.duration,
        words.count,
        words.figure,
        words.optional,
        words.interval,
        words.memory,
    ):
        environment.filters[word.__name__] = word
    sheets = [files(_HOME) / "report.css", *([files(package) / style] if style else [])]
    environment.globals["style"] = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    return environment.get_template(name)


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings → dotted keys and their values as text; a dash for what is left to its default."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        text = "–" if value is None else str(value)
        rows += flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", text)]
    return rows
