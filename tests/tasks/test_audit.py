"""The audit: its test against SciPy's, its verdicts on made-up counts, its findings on the simulator itself."""

import json

import numpy as np
import pytest
from scipy.stats import fisher_exact

from expertgen.errors import UsageError
from expertgen.runs.progress import drain
from expertgen.tasks.audit import audit_task, audit_tasks
from expertgen.tasks.audit_record import AuditRecord, TaskAudit, fisher_less, shipped_record
from expertgen.tasks.registry import get_task

pytest.importorskip("metaworld", reason="needs the extra 'vision'")


@pytest.mark.parametrize("counts", [(0, 12, 36, 36), (7, 12, 30, 36), (12, 12, 0, 36), (3, 4, 5, 9), (0, 5, 0, 5)])
def test_fisher_against_scipy(counts):
    successes, trials, reference, total = counts
    table = [[successes, trials - successes], [reference, total - reference]]
    assert fisher_less(*counts) == pytest.approx(fisher_exact(table, alternative="less").pvalue, rel=1e-9)


def audit(envpool, metaworld, start_error=0.0):
    return TaskAudit("t", 12, envpool, metaworld, start_error, 80)


@pytest.mark.parametrize(
    ("envpool", "metaworld", "start_error", "sound"),
    [
        ((12, 12, 12), (12, 12, 12), 0.0, True),
        ((12, 12, 12), (12, 12, 12), 0.0201, False),  # wrong starts are enough
        ((12, 0, 0), (12, 12, 12), 0.0, False),  # only the first episode works
        ((8, 7, 9), (9, 8, 8), 0.0, True),  # an expert that is not perfect is no defect
        ((10, 9, 12), (12, 10, 9), 0.0, True),  # noise
        ((3, 4, 3), (9, 8, 8), 0.0, True),  # 3 of 12 against 25 of 36: p = .009, not beyond doubt
        ((1, 4, 3), (9, 8, 8), 0.0, False),  # 1 of 12: p = .0004
        ((0, 0, 0), (0, 0, 0), 0.0, True),  # fails in both: nothing shown
    ],
)
def test_verdicts(envpool, metaworld, start_error, sound):
    assert audit(envpool, metaworld, start_error).sound == sound


def test_the_shipped_record_covers_all_tasks_and_comes_back_as_saved(tmp_path):
    record = shipped_record()
    assert len(record.tasks) == 50
    assert set(record.versions) == {"envpool", "metaworld", "mujoco"}
    record.save(tmp_path / "audit.json")
    saved = json.loads((tmp_path / "audit.json").read_text())
    assert saved["versions"] == record.versions
    assert (
        TaskAudit("hammer", **{k: tuple(v) if isinstance(v, list) else v for k, v in saved["tasks"]["hammer"].items()})
        == (record.tasks["hammer"])
    )


def test_the_audit_finds_what_only_shows_after_the_first_episode():
    found = audit_task(get_task("shelf-place"), episodes_per_env=2, num_envs=4)
    assert found.metaworld_success == (4, 4)
    assert found.envpool_success == (4, 0)
    assert found.start_error > 0.5
    assert not found.sound


def test_the_audit_passes_a_sound_task_and_reports_progress():
    loop = audit_tasks([get_task("reach")], episodes_per_env=2, num_envs=4)
    progress = next(loop)
    assert (progress.done, progress.total, progress.metrics["unsound"]) == (1, 1, 0)
    record = drain(loop)
    assert isinstance(record, AuditRecord)
    assert record.tasks["reach"].sound
    assert record.tasks["reach"].envpool_success == (4, 4)


def test_only_metaworld_can_be_audited():
    with pytest.raises(UsageError, match="'hopper' has no scripted expert"):
        audit_task(get_task("hopper"))


def test_expert_steps_of_the_shipped_record_fit_the_horizons():
    """Nine of ten experts must be able to finish; stick-pull is the closest, at 205 steps."""
    for name, row in shipped_record().tasks.items():
        assert row.expert_steps <= get_task(name).horizon + 5, name
    assert np.median([row.expert_steps for row in shipped_record().tasks.values()]) < 100
