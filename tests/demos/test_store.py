import json
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from expertgen.demos.store import Demo, DemoSet, fields_of, is_demoset
from expertgen.errors import FileError, TrainingError, UsageError
from expertgen.tasks.spec import ObservationField
from tests.demos.builders import demo, demo_set
from tests.toys import point_task


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "demos.hdf5"
    demo_set().save(path)
    return path


def spoil(path, change):
    """Changes a saved file in place, as a broken recorder would have written it."""
    with h5py.File(path, "r+") as file:
        change(file["data"])


def put(group, name, array):
    del group[name]
    group[name] = array


def test_load_returns_what_save_wrote(saved):
    written, read = demo_set(), DemoSet.load(saved)
    assert (read.task, read.fields, read.notes) == (written.task, written.fields, ())
    assert len(read) == len(written) == 3
    for a, b in zip(read.demos, written.demos, strict=True):
        for name in ("observations", "actions", "rewards"):
            assert getattr(a, name).dtype == np.float32
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert (a.success, a.seed, a.source) == (b.success, b.seed, b.source)
        assert type(a.success) is bool


def test_saving_twice_gives_the_same_bytes(saved, tmp_path):
    demo_set().save(tmp_path / "again.hdf5")
    assert saved.read_bytes() == (tmp_path / "again.hdf5").read_bytes()


def test_episodes_keep_their_order_beyond_ten(tmp_path):
    task = point_task()
    many = DemoSet(task.id, fields_of(task), tuple(demo(2, seed=i) for i in range(12)))
    many.save(tmp_path / "many.hdf5")
    assert [d.seed for d in DemoSet.load(tmp_path / "many.hdf5").demos] == list(range(12))


def test_layout_is_the_one_robomimic_reads(saved):
    with h5py.File(saved, "r") as file:
        data = file["data"]
        assert sorted(data) == ["demo_0", "demo_1", "demo_2"]
        assert data.attrs["total"] == 4 + 5 + 6
        assert json.loads(data.attrs["env_args"]) == {"env_name": "toy-point", "type": 2, "env_kwargs": {}}
        for i, name in enumerate(data):
            group, steps = data[name], 4 + i
            assert group.attrs["num_samples"] == steps
            assert {key: group.attrs[key] for key in ("task", "source", "seed")} == {
                "task": "toy-point",
                "source": "test",
                "seed": i,
            }
            assert bool(group.attrs["success"]) == (i % 2 == 0)
            shapes = {key: group[key].shape for key in ("actions", "rewards", "dones")}
            assert shapes == {"actions": (steps, 2), "rewards": (steps,), "dones": (steps,)}
            assert {key: array.shape for key, array in group["obs"].items()} == {
                "goal_position": (steps, 2),
                "point_position": (steps, 2),
            }
            assert group["dones"][()].tolist() == [0] * (steps - 1) + [1]


def test_saving_leaves_no_other_file_and_replaces_the_old_one(saved):
    demo_set(count=1).save(saved)
    assert len(DemoSet.load(saved)) == 1
    assert [p.name for p in saved.parent.iterdir()] == ["demos.hdf5"]


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot write"):
        demo_set().save(tmp_path / "file" / "demos.hdf5")


def test_missing_file_folder_and_foreign_file(tmp_path):
    with pytest.raises(FileError, match=r"none\.hdf5 does not exist"):
        DemoSet.load(tmp_path / "none.hdf5")
    with pytest.raises(FileError, match="is not a file"):
        DemoSet.load(tmp_path)
    (tmp_path / "text.hdf5").write_text("hello")
    with pytest.raises(FileError, match=r"text\.hdf5 is not an HDF5 file"):
        DemoSet.load(tmp_path / "text.hdf5")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file.create_group("data/demo_0")
    with pytest.raises(FileError, match="demos import"):
        DemoSet.load(tmp_path / "other.hdf5")


def test_own_files_are_told_from_others(saved, tmp_path):
    assert is_demoset(saved)
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file.create_group("data/demo_0")
    assert not is_demoset(tmp_path / "other.hdf5")
    with h5py.File(tmp_path / "numbers.hdf5", "w") as file:
        file["numbers"] = [1.0]
    assert not is_demoset(tmp_path / "numbers.hdf5")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FileError, match=r"demos\.hdf5 is truncated") as error:
        DemoSet.load(saved)
    assert "\n" not in str(error.value)


def test_flipped_bit_in_the_data_is_refused(saved):
    content = bytearray(saved.read_bytes())
    place = content.find(demo_set().demos[1].actions.tobytes()[:16])
    assert place > 0
    content[place + 2] ^= 1
    saved.write_bytes(content)
    with pytest.raises(FileError, match=r"demos\.hdf5: demo_1: actions is damaged"):
        DemoSet.load(saved)


def nan_in_goal(data):
    data["demo_1/obs/goal_position"][3, 1] = np.nan


DEFECTS = {
    "nan": (nan_in_goal, "obs/goal_position: NaN or infinity at step 3"),
    "infinite reward": (
        lambda data: put(data["demo_1"], "rewards", np.full(5, np.inf, np.float32)),
        "rewards: NaN or infinity at step 0",
    ),
    "columns": (
        lambda data: put(data["demo_1"], "obs/goal_position", np.zeros((5, 3))),
        r"obs/goal_position has shape \[5, 3\], not \[5, 2\]",
    ),
    "steps": (
        lambda data: put(data["demo_1"], "obs/goal_position", np.zeros((4, 2))),
        r"obs/goal_position has shape \[4, 2\], not \[5, 2\]",
    ),
    "action columns": (
        lambda data: put(data["demo_1"], "actions", np.zeros((5, 7))),
        r"actions have shape \[5, 7\], not \[5, 2\]",
    ),
    "range": (
        lambda data: put(data["demo_1"], "actions", np.full((5, 2), 1.5)),
        r"actions reach 1\.5 at step 0, outside \[-1, 1\]",
    ),
    "missing": (lambda data: data["demo_1"].pop("rewards"), "rewards is missing"),
    "text": (lambda data: put(data["demo_1"], "rewards", "none"), "rewards does not hold numbers"),
    "attribute": (lambda data: data["demo_1"].attrs.pop("success"), "attribute 'success' is missing"),
    "count": (lambda data: data["demo_1"].attrs.modify("num_samples", 9), "it has 5 actions, but num_samples says 9"),
}


@pytest.mark.parametrize("kind", DEFECTS)
def test_broken_episode_is_named_or_left_out(saved, kind):
    change, message = DEFECTS[kind]
    spoil(saved, change)
    with pytest.raises(FileError, match=rf"demos\.hdf5: demo_1: {message}") as error:
        DemoSet.load(saved)
    assert "\n" not in str(error.value)
    rest = DemoSet.load(saved, skip_broken=True)
    assert [d.seed for d in rest.demos] == [0, 2]
    assert len(rest.notes) == 1
    assert rest.notes[0].startswith("left out demo_1: ")


def test_file_without_a_whole_episode_is_refused(saved):
    def empty(data):
        for name in list(data):
            del data[name]["actions"]

    spoil(saved, empty)
    with pytest.raises(FileError, match="holds no whole demonstration"):
        DemoSet.load(saved, skip_broken=True)


def test_another_layout_is_refused(saved):
    spoil(saved, lambda data: data.attrs.modify("layout", 2))
    with pytest.raises(FileError, match="has layout 2, this program reads 1"):
        DemoSet.load(saved)


def test_a_demo_set_cannot_be_built_from_a_broken_demo():
    good = demo()
    broken = replace(good, actions=good.actions * np.nan)
    with pytest.raises(UsageError, match=r"demonstration 1 of 'toy-point': actions: NaN or infinity at step 0"):
        DemoSet("toy-point", demo_set().fields, (good, broken))
    with pytest.raises(UsageError, match="no demonstration"):
        DemoSet("toy-point", demo_set().fields, ())
    empty = Demo(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros(0), False, 0, "test")
    with pytest.raises(UsageError, match="it has no step"):
        DemoSet("toy-point", demo_set().fields, (good, empty))


def test_check_accepts_its_task_and_names_what_does_not_fit():
    task, demos = point_task(), demo_set()
    demos.check(task)
    with pytest.raises(UsageError, match=r"demonstrations of 'toy-point'.* 'other'"):
        demos.check(replace(task, id="other"))
    with pytest.raises(UsageError, match="columns 2:4 are 'goal_position', but the task has 'aim' in columns 2:4"):
        demos.check(replace(task, fields=(task.fields[0], replace(task.fields[1], name="aim"))))
    with pytest.raises(UsageError, match="2 actions, the task has 4 and 3"):
        demos.check(replace(task, action_names=("x", "y", "z")))
    with pytest.raises(UsageError, match=r"4 observation columns .* the task has 6 and 2"):
        demos.check(replace(task, observation_size=6))


def test_fields_cover_all_columns():
    task = replace(point_task(), observation_size=9)
    first, second = task.fields
    moved = replace(second, start=4, stop=6)
    assert fields_of(replace(task, fields=(moved, first))) == (
        ("point_position", 0, 2),
        ("unnamed_2_4", 2, 4),
        ("goal_position", 4, 6),
        ("unnamed_6_9", 6, 9),
    )
    assert fields_of(replace(task, fields=())) == (("observation", 0, 9),)
    twice = (*task.fields, ObservationField("all", 0, 9, "m", "base", "everything"))
    assert fields_of(replace(task, fields=twice)) == (("observation", 0, 9),)


def test_task_without_named_fields_is_stored_flat(tmp_path):
    task = replace(point_task(), fields=())
    DemoSet(task.id, fields_of(task), (demo(),)).save(tmp_path / "flat.hdf5")
    with h5py.File(tmp_path / "flat.hdf5", "r") as file:
        assert list(file["data/demo_0/obs"]) == ["observation"]
    np.testing.assert_array_equal(DemoSet.load(tmp_path / "flat.hdf5").demos[0].observations, demo().observations)


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path):
    """In a process of its own, because HDF5 on a full disk ended the process instead of raising an error."""
    script = f"""
import resource, signal
from pathlib import Path
from expertgen.errors import TrainingError
from tests.toys import point_demos

demos = point_demos(20, seed=0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    demos.save(Path({str(tmp_path)!r}) / "demos.h5")
except TrainingError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout == f"cannot write {tmp_path / 'demos.h5'}: File too large; free the disk or choose another "
        "--out, then --resume\n"
    )
    assert list(tmp_path.iterdir()) == []
