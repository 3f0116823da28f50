import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from expertgen.demos.exchange import import_demos
from expertgen.demos.store import DemoSet
from expertgen.errors import FileError, UsageError
from expertgen.tasks.registry import get_task
from tests.demos.builders import demo_set
from tests.toys import point_task

TASK = point_task()


def archive(path, **changes):
    """Three episodes of 4, 5 and 6 steps."""
    demos = demo_set().demos
    arrays = {
        "observations": np.concatenate([d.observations for d in demos]),
        "actions": np.concatenate([d.actions for d in demos]),
        "rewards": np.concatenate([d.rewards for d in demos]),
        "episode_lengths": np.array([4, 5, 6]),
    }
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.fixture
def npz(tmp_path):
    return tmp_path / "human.npz"


def test_npz_gives_the_episodes_back(npz):
    demos = import_demos(archive(npz), TASK, "glove")
    demos.check(TASK)
    for got, wanted in zip(demos.demos, demo_set().demos, strict=True):
        for name in ("observations", "actions", "rewards"):
            np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))
        assert (got.success, got.source) == (True, "glove")


def test_npz_success_and_rewards_are_optional(npz):
    demos = import_demos(archive(npz, rewards=None, success=np.array([True, False, True])), TASK, "glove")
    assert [d.success for d in demos.demos] == [True, False, True]
    assert all((d.rewards == 0).all() for d in demos.demos)


def test_slightly_large_actions_are_clipped_and_counted(npz):
    actions = np.zeros((15, 2))
    actions[5, 0], actions[14, 1] = 1.25, -1.5
    demos = import_demos(archive(npz, actions=actions), TASK, "glove")
    assert demos.notes == ("clipped 2 of 30 action values to [-1, 1]; the largest was 1.5",)
    assert (demos.demos[1].actions[1, 0], demos.demos[2].actions[5, 1]) == (1.0, -1.0)
    with pytest.raises(FileError, match=r"human\.npz: episode 1: actions reach 1\.25 at step 1, outside \[-1, 1\]"):
        import_demos(npz, TASK, "glove", clip=False)


def test_actions_in_other_units_are_refused_even_with_clipping(npz):
    actions = np.zeros((15, 2))
    actions[7] = 90.0
    with pytest.raises(FileError, match=r"episode 1: actions reach 90: scale them to \[-1, 1\]"):
        import_demos(archive(npz, actions=actions), TASK, "glove")
    assert len(import_demos(npz, TASK, "glove", skip_broken=True)) == 2


MISFITS = {
    "no array": ({"episode_lengths": None}, "has no array 'episode_lengths'; it has observations, actions, rewards"),
    "observation": (
        {"observations": np.zeros((15, 7))},
        r"observation 'observation' has shape \[7\] at a step, but 'toy-point' needs \[4\]",
    ),
    "action": ({"actions": np.zeros((15, 3))}, r"actions have shape \[3\] at a step, but 'toy-point' needs \[2\]"),
    "rewards": ({"rewards": np.zeros((15, 1))}, "rewards have 2 dimensions, not 1"),
    "success": ({"success": np.ones(2, bool)}, r"success have shape \[2\], but there must be 3 of them"),
    "sum": ({"episode_lengths": np.array([4, 5])}, "must be positive integers that sum to the 15 observations"),
    "negative": ({"episode_lengths": np.array([20, -5])}, "must be positive integers"),
    "fraction": ({"episode_lengths": np.array([7.5, 7.5])}, "must be positive integers"),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_npz_that_does_not_fit_is_refused(npz, kind):
    changes, message = MISFITS[kind]
    with pytest.raises(FileError, match=message) as error:
        import_demos(archive(npz, **changes), TASK, "glove")
    assert "\n" not in str(error.value)


def test_npz_with_nan_names_field_and_episode(npz):
    observations = np.zeros((15, 4))
    observations[9, 3] = np.nan
    with pytest.raises(FileError, match=r"human\.npz: episode 2: obs/goal_position: NaN or infinity at step 0"):
        import_demos(archive(npz, observations=observations), TASK, "glove")
    demos = import_demos(npz, TASK, "glove", skip_broken=True)
    assert len(demos) == 2
    assert demos.notes == ("left out episode 2: obs/goal_position: NaN or infinity at step 0",)


def test_npz_that_is_no_archive(npz, tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        import_demos(npz, TASK, "glove")
    content = archive(npz).read_bytes()
    for broken in (content[:200], b"hello", b""):
        npz.write_bytes(broken)
        with pytest.raises(FileError, match="is truncated or not a NumPy archive"):
            import_demos(npz, TASK, "glove")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(FileError, match="of no format that can be imported; these can be: npz, robomimic"):
        import_demos(tmp_path / "one.npy", TASK, "glove")
    with pytest.raises(FileError, match="not a NumPy archive"):
        import_demos(tmp_path / "one.npy", TASK, "glove", format="npz")
    content = bytearray(archive(npz).read_bytes())
    content[len(content) // 2] ^= 1
    npz.write_bytes(content)
    with pytest.raises(FileError, match="is damaged"):
        import_demos(npz, TASK, "glove")
    archive(npz, actions=np.array([{"pickled": 1}]))
    with pytest.raises(FileError, match="not an archive of plain arrays: actions holds Python objects"):
        import_demos(npz, TASK, "glove")


def robomimic_file(path, names=("point_position", "goal_position")):
    """A file as robomimic's own tools write it: no attributes of ours."""
    with h5py.File(path, "w") as file:
        for i, demo in enumerate(demo_set().demos):
            group = file.create_group(f"data/demo_{i}")
            group.attrs["num_samples"] = len(demo.actions)
            group["actions"] = demo.actions.astype(np.float64)
            group["rewards"] = demo.rewards.astype(np.float64)
            if len(names) == 1:
                group[f"obs/{names[0]}"] = demo.observations
            else:
                group[f"obs/{names[0]}"] = demo.observations[:, :2]
                group[f"obs/{names[1]}"] = demo.observations[:, 2:]
    return path


@pytest.mark.parametrize(
    ("in_file", "names"),
    [
        (("point_position", "goal_position"), None),
        (("eef_pos", "goal_position"), {"point_position": "eef_pos"}),
        (("observation",), None),
        (("flat",), {"observation": "flat"}),
    ],
)
def test_robomimic_by_name_and_flat(tmp_path, in_file, names):
    demos = import_demos(robomimic_file(tmp_path / "low_dim.hdf5", in_file), TASK, "proficient-human", names=names)
    demos.check(TASK)
    for got, wanted in zip(demos.demos, demo_set().demos, strict=True):
        np.testing.assert_array_equal(got.observations, wanted.observations)
        np.testing.assert_array_equal(got.actions, wanted.actions)
        assert got.success


def test_our_own_file_is_a_robomimic_file(tmp_path):
    demo_set().save(tmp_path / "own.hdf5")
    demos = import_demos(tmp_path / "own.hdf5", TASK, "again")
    assert {d.source for d in demos.demos} == {"test"}  # the file says who
    assert [d.origin for d in demos.demos] == [f"own.hdf5: demo_{i}" for i in range(3)]
    assert [d.success for d in demos.demos] == [True, False, True]
    demos.save(tmp_path / "imported.hdf5")
    assert len(DemoSet.load(tmp_path / "imported.hdf5")) == 3


def test_columns_that_the_task_does_not_name_become_zero(tmp_path):
    task = replace(TASK, observation_size=6)
    demos = import_demos(robomimic_file(tmp_path / "low_dim.hdf5"), task, "human")
    assert (demos.demos[0].observations[:, 4:] == 0).all()


def test_robomimic_misfits_name_the_field(tmp_path):
    path = robomimic_file(tmp_path / "low_dim.hdf5", ("eef_pos", "goal_position"))
    with pytest.raises(
        FileError, match=r"no observation 'point_position' for field 'point_position' .* it has eef_pos, goal"
    ):
        import_demos(path, TASK, "human")
    with pytest.raises(UsageError, match="no observation field 'point_pos'; did you mean 'point_position'"):
        import_demos(path, TASK, "human", names={"point_pos": "eef_pos"})
    wide = replace(
        TASK, observation_size=6, fields=(replace(TASK.fields[0], stop=4), replace(TASK.fields[1], start=4, stop=6))
    )
    with pytest.raises(
        FileError, match=r"observation 'eef_pos' has shape \[2\] at a step, but 'toy-point' needs \[4\]"
    ):
        import_demos(path, wide, "human", names={"point_position": "eef_pos"})
    with pytest.raises(FileError, match=r"actions have shape \[2\] at a step, but 'toy-point' needs \[3\]"):
        import_demos(path, replace(TASK, action_names=("x", "y", "z")), "human", names={"point_position": "eef_pos"})


def test_files_that_are_not_robomimic(tmp_path):
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["numbers"] = np.zeros(3)
    with pytest.raises(FileError, match="of no format that can be imported"):
        import_demos(tmp_path / "other.hdf5", TASK, "human")
    with pytest.raises(FileError, match="not a robomimic file"):
        import_demos(tmp_path / "other.hdf5", TASK, "human", format="robomimic")
    content = robomimic_file(tmp_path / "cut.hdf5").read_bytes()
    (tmp_path / "cut.hdf5").write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError, match="truncated or damaged"):
        import_demos(tmp_path / "cut.hdf5", TASK, "human")


def test_human_demonstrations_of_a_dexterous_hand(tmp_path):
    default = Path(__file__).parents[2].parent / "shared" / "data"
    path = Path(os.environ.get("EXPERTGEN_DATA", default)) / "adroit_door_human.npz"
    if not path.exists():
        pytest.skip(f"{path} is missing; set EXPERTGEN_DATA to its folder")
    task = get_task("adroit-door")
    demos = import_demos(path, task, "human-glove")
    demos.check(task)
    assert len(demos) == demos.successes == 25
    assert sum(len(d.actions) for d in demos.demos) == 6729
    assert demos.notes == (
        "dropped array 'init_door_body_pos', array 'init_qpos', array 'init_qvel'",
        "clipped 10,595 of 188,412 action values to [-1, 1]; the largest was 1.37",
    )
    demos.save(tmp_path / "door.hdf5")
    read = DemoSet.load(tmp_path / "door.hdf5")
    np.testing.assert_array_equal(read.demos[24].observations, demos.demos[24].observations)
    with pytest.raises(FileError, match=r"episode \d+: actions reach .* outside \[-1, 1\]"):
        import_demos(path, task, "human-glove", clip=False)
