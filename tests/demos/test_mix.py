from dataclasses import replace

import pytest

from expertgen.demos.mix import Selection, merge, select, split, subsample, weigh, with_origins
from expertgen.demos.store import DemoSet, fields_of
from expertgen.errors import UsageError
from tests.demos.builders import demo, demo_set
from tests.toys import point_task


def ten(source="anna"):
    """Ten episodes of 2 to 11 steps; every other one succeeds."""
    task = point_task()
    demos = tuple(demo(2 + i, seed=i, success=i % 2 == 0, source=source) for i in range(10))
    return with_origins(DemoSet(task.id, fields_of(task), demos), f"{source}.h5")


def origins(demos):
    return [d.origin for d in demos.demos]


def test_origins_are_noted_once_and_survive_everything(tmp_path):
    first, second = ten("anna"), ten("ben")
    mixed = subsample(split(select(merge([first, second]), Selection(keep="successes")), 0.7, 0)[0], 5, 1)
    mixed.save(tmp_path / "mixed.h5")
    read = with_origins(DemoSet.load(tmp_path / "mixed.h5"), "mixed.h5")
    assert origins(read) == origins(mixed)
    by_origin = {d.origin: d for d in (*first.demos, *second.demos)}
    for d in read.demos:
        one = by_origin[d.origin]
        assert (d.source, d.seed, d.success, d.origin) == (one.source, one.seed, one.success, one.origin)
        assert d.observations.tobytes() == one.observations.tobytes()


def test_merge_keeps_the_order_and_refuses_other_tasks():
    merged = merge([ten("anna"), ten("ben")])
    assert origins(merged) == [f"{name}.h5: demo_{i}" for name in ("anna", "ben") for i in range(10)]
    with pytest.raises(UsageError, match="of one task can be merged: task is 'toy-point' and 'other'"):
        merge([ten(), replace(ten(), task="other")])
    with pytest.raises(UsageError, match="fields is"):
        merge([ten(), replace(ten(), fields=(("observation", 0, 4),))])


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (Selection(), range(10)),
        (Selection("successes"), range(0, 10, 2)),
        (Selection("failures"), range(1, 10, 2)),
        (Selection(min_steps=4), range(2, 10)),
        (Selection(max_steps=4), range(3)),
        (Selection("failures", ("anna",), 3, 5), (1, 3)),
    ],
)
def test_selections(selection, chosen):
    assert origins(select(ten(), selection)) == [f"anna.h5: demo_{i}" for i in chosen]


def test_selections_that_leave_nothing():
    with pytest.raises(UsageError, match="no demonstration of 'toy-point' fits the selection"):
        select(ten(), Selection(min_steps=100))
    with pytest.raises(UsageError, match="no demonstration is by 'ana'; did you mean 'anna'"):
        select(ten(), Selection(source=("ana",)))


def test_split_divides_and_keeps_the_order():
    first, second = split(ten(), 0.7, seed=3)
    assert (len(first), len(second)) == (7, 3)
    assert sorted(origins(first) + origins(second)) == sorted(origins(ten()))
    assert origins(first) == sorted(origins(first))
    assert origins(split(ten(), 0.7, seed=3)[0]) == origins(first) != origins(split(ten(), 0.7, seed=4)[0])
    assert [len(part) for part in split(ten(), 0.999, 0)] == [9, 1]
    with pytest.raises(UsageError, match=r"share must be between 0 and 1, not 1\.0"):
        split(ten(), 1.0, 0)
    with pytest.raises(UsageError, match="one demonstration cannot be split"):
        split(demo_set(1), 0.5, 0)


def test_subsamples_of_one_seed_contain_each_other():
    few, more = origins(subsample(ten(), 3, 0)), origins(subsample(ten(), 6, 0))
    assert set(few) < set(more)
    assert (len(few), len(more)) == (3, 6)
    with pytest.raises(UsageError, match="episodes must be from 1 to 10, the number of demonstrations, not 11"):
        subsample(ten(), 11, 0)


def test_weights_are_set_stored_and_read(tmp_path):
    weighted = weigh(ten(), 2.5, Selection("successes"))
    weighted.save(tmp_path / "weighted.h5")
    assert [d.weight for d in DemoSet.load(tmp_path / "weighted.h5").demos] == [2.5, 1.0] * 5
    assert [d.weight for d in weigh(weighted, 4.0, Selection(max_steps=2)).demos] == [4.0, *[1.0, 2.5] * 4, 1.0]
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="weight must be positive"):
            weigh(ten(), wrong, Selection())
