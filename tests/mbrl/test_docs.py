"""The tutorial runs: a loop that is not ours gets weights, and its model is better where the policy is now."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from expertgen.mbrl.presets import TASK_PRESETS
from expertgen.mbrl.run import default_settings

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """The page's Python files, imported."""
    page = (DOCS / "tom_anywhere.md").read_text(encoding="utf-8")
    files = re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    for name, text in files:
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    torch.manual_seed(0)
    yield {name: importlib.import_module(name) for name, _ in files}
    for name, _ in files:
        sys.modules.pop(name, None)


def test_the_weighted_model_is_better_for_the_present_policy(modules):
    theirs, weighted = modules["theirs"], modules["weighted"]
    observation, action, following, _ = theirs.collect(50, push=1.0)
    inputs, target = torch.as_tensor(np.hstack([observation, action])), torch.as_tensor(following - observation)
    with torch.no_grad():
        errors = [float((m(inputs) - target).square().mean()) for m in (theirs.uniform, weighted.weighted)]
    assert errors[1] < 0.5 * errors[0]
    assert float(weighted.weights.mean()) == pytest.approx(1, abs=1e-4)
    assert float(weighted.weights[-400:].mean()) > 2
    functions = modules["functions"]
    assert float(functions.batch_weights.mean()) == pytest.approx(1, abs=1e-4)
    assert functions.loss.grad_fn is not None


def test_the_table_of_presets_is_that_of_the_program():
    page = (DOCS / "mbrl.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `([\w-]+)` \| ([\d ]+) \| (\d+) \| (\d+) \| \[(\d+), (\d+), (\d+), (\d+)\] \| (\d+) \| ([\d.]+) \|$",
        page,
        flags=re.MULTILINE,
    )
    assert {row[0] for row in rows} == set(TASK_PRESETS)
    for task, env_steps, updates, policy_every, *schedule, width, discount in rows:
        settings = default_settings(task)
        assert settings.mbpo.env_steps == int(env_steps.replace(" ", ""))
        assert settings.mbpo.updates_per_step == int(updates)
        assert settings.mbpo.policy_every == int(policy_every)
        assert settings.mbpo.rollout_schedule == tuple(map(int, schedule))
        assert settings.agent.width == int(width)
        assert settings.agent.discount == float(discount)
