"""The page: one HTML file with its style and script inside, and a policy that lets it load nothing else."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files


@cache
def page() -> tuple[bytes, str]:
    """Returns the page, and its Content-Security-Policy but for where it may connect to."""
    parts = files("expertgen.teleop")
    style, script = (parts.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    # The report's colours and fonts, so that all pages look alike.
    common = files("expertgen.reporting").joinpath("report.css").read_text(encoding="utf-8")
    style = common[: common.index("* {")] + style
    html = parts.joinpath("page.html").read_text(encoding="utf-8")
    html = html.replace("/* style */", style).replace("/* script */", script)
    policy = (
        f"default-src 'none'; img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    return html.encode(), policy


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
