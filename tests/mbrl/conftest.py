"""The toy's termination rule is known in the tests of this layer alone."""

import pytest

from expertgen.dynamics.termination import TERMINATIONS
from tests.mbrl.toy import TASK, lost


@pytest.fixture(autouse=True)
def toy_rule(monkeypatch):
    monkeypatch.setitem(TERMINATIONS, TASK.id, lost)
