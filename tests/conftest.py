"""What every test runs under: shapes and types in signatures are checked, and torch is set up as in a real run."""

from __future__ import annotations

from collections.abc import Iterator

import jaxtyping
import pytest

# Before anything of the package is imported. Integers pass for floats, as PEP 484 has it.
jaxtyping.install_import_hook("expertgen", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

from expertgen.runs.machine import prepare_process  # noqa: E402

prepare_process()


@pytest.fixture
def wrong_types() -> Iterator[None]:
    """Signatures are not checked in this test: it hands over a wrong type to see how the package itself refuses it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
