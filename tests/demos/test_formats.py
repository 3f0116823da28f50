"""Every format gives back what was written: values, order and attributes; what breaks an episode breaks it alone."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from expertgen.demos.exchange import FORMATS, export_demos, import_demos, recognize
from expertgen.demos.store import DemoSet, fields_of
from expertgen.errors import FileError, UsageError
from tests.demos.builders import demo
from tests.toys import point_task

TASK = point_task()
FLAT_TASK = replace(TASK, fields=())
SLIM_TASK = replace(TASK, observation_size=1, action_names=("x",), fields=())


def varied(task=TASK):
    """Episodes that differ in everything."""
    demos = tuple(
        replace(
            demo(3 + i, seed=7 * i, success=i % 2 == 0, source=f"anna, № {i}"),
            failure="" if i else "time: it took too long",
            origin=f"first.h5: demo_{i}",
            weight=i + 0.5,
        )
        for i in range(12)
    )
    cut = (
        replace(d, observations=d.observations[:, : task.observation_size], actions=d.actions[:, : task.action_size])
        for d in demos
    )
    return DemoSet(task.id, fields_of(task), tuple(cut))


@pytest.fixture(params=FORMATS)
def format(request):
    if request.param == "lerobot":
        pytest.importorskip("pyarrow", reason="the extra 'lerobot' is not installed")
    return request.param


def exported(format, folder, task=TASK):
    path = folder / f"out{FORMATS[format].suffix}"
    export_demos(varied(task), task, path, format)
    return path


@pytest.mark.parametrize("task", [TASK, FLAT_TASK, SLIM_TASK], ids=["named", "flat", "one column"])
def test_round_trip_is_exact(format, task, tmp_path):
    path = exported(format, tmp_path, task)
    assert recognize(path) is FORMATS[format]
    written, read = varied(task), import_demos(path, task)
    assert (read.task, read.fields, read.notes) == (written.task, written.fields, ())
    for a, b in zip(read.demos, written.demos, strict=True):
        for name in ("observations", "actions", "rewards"):
            one, two = getattr(a, name), getattr(b, name)
            assert (one.dtype, one.shape) == (np.float32, two.shape)
            assert one.tobytes() == np.ascontiguousarray(two).tobytes()
        for name in ("success", "seed", "source", "failure", "origin", "weight"):
            assert getattr(a, name) == getattr(b, name)
            assert type(getattr(a, name)) is type(getattr(b, name))


def test_the_same_demonstrations_give_the_same_bytes(format, tmp_path):
    def content(folder):
        path = exported(format, folder)
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.is_file()}

    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_demonstrations_of_another_task_are_not_exported(format, tmp_path):
    with pytest.raises(UsageError, match="these are demonstrations of 'toy-point'"):
        export_demos(varied(), replace(TASK, id="other"), tmp_path / "out", format)
    with pytest.raises(UsageError, match="there is no format 'rlds'; choose one of npz, robomimic, minari, lerobot"):
        export_demos(varied(), TASK, tmp_path / "out", "rlds")


def h5_of(path):
    return path / "data" / "main_data.hdf5" if path.is_dir() else path


def prefix(format):
    return "episode_" if format == "minari" else "data/demo_"


def observations(format):
    return "observations" if format == "minari" else "obs"


TREES = ["robomimic", "minari"]


@pytest.mark.parametrize("format", TREES)
def test_what_a_tree_lacks_is_refused_or_padded_and_what_it_has_beyond_is_dropped(format, tmp_path):
    path = exported(format, tmp_path)
    with h5py.File(h5_of(path), "r+") as file:
        for i in range(12):
            obs = file[f"{prefix(format)}{i}/{observations(format)}"]
            obs["extra"] = np.zeros((len(obs["goal_position"]), 3))
            del obs["goal_position"]
    with pytest.raises(
        FileError, match=r"no observation 'goal_position' for field 'goal_position' .* --names goal_pos"
    ):
        import_demos(path, TASK)
    demos = import_demos(path, TASK, pad=True)
    assert demos.notes == (
        "padded 'goal_position', columns 2:4, with 0: there is no observation 'goal_position'",
        "dropped observation 'extra' [3]",
    )
    assert (demos.demos[3].observations[:, 2:] == 0).all()
    np.testing.assert_array_equal(demos.demos[3].observations[:, :2], varied().demos[3].observations[:, :2])


@pytest.mark.parametrize("format", TREES)
def test_one_broken_episode_of_a_tree(format, tmp_path):
    for kind, (spoil, said) in (
        {
            "missing": (lambda g: g.pop("actions"), "actions is missing"),
            "short": (lambda g: put(g, "rewards", np.zeros(2)), r"rewards has shape \[2\], not \[4\]"),
            "text": (lambda g: put(g, "actions", ["left"] * 4), "actions does not hold numbers"),
            "objects": (lambda g: put(g, "rewards", pickled()), "rewards does not hold numbers"),
            "attribute": (
                lambda g: g.attrs.create("success", "maybe"),
                "attribute 'success' is not a value of type bool",
            ),
            "count": (lambda g: g.attrs.modify(count(format), 9), f"it has 4 actions, but {count(format)} says 9"),
            "seed": (lambda g: g.attrs.create("seed", np.arange(3)), "attribute 'seed' is not a value of type int"),
            "weight": (lambda g: g.attrs.modify("weight", -1.0), "weight must be positive, not -1.0"),
            "outside": (lambda g: external(g, tmp_path), "actions is a link to another file; put the data themselves"),
            "loop": (lambda g: soft(g), "rewards is a link to another place"),
            "elsewhere": (lambda g: raw(g, tmp_path), "actions keeps its data in other files"),
            "virtual": (lambda g: virtual(g), "actions keeps its data in other files"),
            "huge": (lambda g: huge(g), r"actions declares shape \[10000000000, 2\], but only 0 bytes are stored"),
            "chunks": (lambda g: chunks(g), r"rewards declares chunks of shape \[100000000\], larger than itself"),
        }
    ).items():
        folder = tmp_path / kind
        path = exported(format, folder)
        with h5py.File(h5_of(path), "r+") as file:
            spoil(file[f"{prefix(format)}1"])
        with pytest.raises(FileError, match=rf"_1: {said}.*leave it out with --skip-broken") as error:
            import_demos(path, TASK)
        assert "\n" not in str(error.value)
        rest = import_demos(path, TASK, skip_broken=True)
        assert [d.seed for d in rest.demos] == [0, *range(14, 84, 7)]
        assert len(rest.notes) == 1


def count(format):
    return "total_steps" if format == "minari" else "num_samples"


def put(group, name, array):
    del group[name]
    group[name] = array


def pickled():
    return np.array([b"\x80\x04N."] * 4, dtype=h5py.special_dtype(vlen=bytes))


def external(group, folder):
    with h5py.File(folder / "secret.h5", "w") as file:
        file["actions"] = np.zeros((4, 2))
    del group["actions"]
    group["actions"] = h5py.ExternalLink(str(folder / "secret.h5"), "actions")


def soft(group):
    del group["rewards"]
    group["rewards"] = h5py.SoftLink(f"{group.name}/rewards")


def raw(group, folder):
    (folder / "secret.bin").write_bytes(bytes(64))
    del group["actions"]
    group.create_dataset("actions", (4, 2), "f8", external=[(str(folder / "secret.bin"), 0, 64)])


def virtual(group):
    del group["actions"]
    layout = h5py.VirtualLayout((4, 2), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "actions", (4, 2))
    group.create_virtual_dataset("actions", layout)


def huge(group):
    del group["actions"]
    group.create_dataset("actions", (10**10, 2), "f4", chunks=(1000, 2))


def chunks(group):
    del group["rewards"]
    group.create_dataset("rewards", (4,), "f4", chunks=(10**8,), maxshape=(None,))


def test_filters_that_would_load_code_are_refused(tmp_path):
    path = exported("robomimic", tmp_path)
    with h5py.File(path, "r+") as file:
        group = file["data/demo_1"]
        del group["actions"]
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((4, 2))
        creation.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
        h5py.h5d.create(group.id, b"actions", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4, 2)), creation)
    with pytest.raises(FileError, match="actions is packed by filter 32015, which is not HDF5's own"):
        import_demos(path, TASK)


def test_a_file_that_needs_more_memory_than_there_is(tmp_path):
    """Every single dataset is small, but they are one and the same."""
    path = tmp_path / "many.hdf5"
    with h5py.File(path, "w") as file:
        actions = file.create_dataset("data/demo_0/actions", data=np.zeros((10**7, 2), "i1"), compression="gzip")
        file["data/demo_0/obs/observation"] = np.zeros((4, 4))
        for i in range(1, 2_000):
            file[f"data/demo_{i}/actions"] = actions
    with pytest.raises(FileError, match=r"declares 20,000,000,000 control steps, which take 560 GB of memory"):
        import_demos(path, TASK)


def test_observations_of_minari_may_be_flat_and_success_may_stand_in_the_infos(tmp_path):
    path = tmp_path / "foreign.hdf5"
    with h5py.File(path, "w") as file:
        for i, one in enumerate(varied().demos):
            group, steps = file.create_group(f"episode_{i}"), len(one.actions)
            group["observations"] = np.zeros((steps + 1, 4))
            group["actions"], group["rewards"] = one.actions.astype(float), one.rewards
            group["infos/success"] = np.arange(steps + 1) == (steps if i == 5 else -1)
            group.attrs["total_steps"] = steps
    demos = import_demos(path, TASK, "glove")
    assert [d.success for d in demos.demos] == [i == 5 for i in range(12)]
    assert {(d.source, d.seed, d.weight) for d in demos.demos} == {("glove", 0, 1.0)}
    assert demos.demos[2].origin == "foreign.hdf5: episode_2"


def archive_with(path, name, array, header=None):
    """An archive of which one array is another one, or declares another header."""
    import io
    import zipfile

    export_demos(varied(), TASK, path, "npz")
    with zipfile.ZipFile(path) as old:
        members = {member: old.read(member) for member in old.namelist()}
    buffer = io.BytesIO()
    np.save(buffer, array)
    members[f"{name}.npy"] = buffer.getvalue() if header is None else header + bytes(64)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for member, data in members.items():
            new.writestr(member, data)


def test_archives_that_declare_more_than_they_hold(tmp_path):
    import io

    path, huge = tmp_path / "a.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 4)})
    archive_with(path, "observations", None, huge.getvalue())
    with pytest.raises(FileError, match="observations declares 16,000,000,000,000 bytes, but 64 are packed"):
        import_demos(path, TASK)
    archive_with(path, "extra", np.array([{}]))  # never unpacked
    assert import_demos(path, TASK).notes == ("dropped array 'extra'",)
    archive_with(path, "source", np.arange(12))
    with pytest.raises(FileError, match="source do not hold text"):
        import_demos(path, TASK)


@pytest.fixture
def dataset(tmp_path):
    pytest.importorskip("pyarrow", reason="the extra 'lerobot' is not installed")
    return exported("lerobot", tmp_path)


def rewrite(path, change):
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = pq.read_table(path).to_pydict()
    change(columns)
    pq.write_table(pa.table(columns), path)


def test_lerobot_files_of_data_hold_whole_episodes(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow", reason="the extra 'lerobot' is not installed")
    from expertgen.demos.formats import lerobot_tables

    monkeypatch.setattr(lerobot_tables, "FILE_BYTES", 1000)
    path = exported("lerobot", tmp_path)
    files = sorted(path.glob("data/*/*.parquet"))
    assert len(files) > 3
    for a, b in zip(import_demos(path, TASK).demos, varied().demos, strict=True):
        np.testing.assert_array_equal(a.observations, b.observations)
    files[1].unlink()
    with pytest.raises(FileError, match=r"episode \d+: data/chunk-000/file-001\.parquet is missing"):
        import_demos(path, TASK)
    rest = import_demos(path, TASK, skip_broken=True)
    assert 0 < len(rest) < 12
    files[2].write_bytes(files[2].read_bytes()[:-50])
    assert 0 < len(import_demos(path, TASK, skip_broken=True)) < len(rest)


def test_lerobot_observations_by_name_and_pictures_left_where_they_are(dataset):
    def divide(columns):
        state = columns.pop("observation.state")
        columns["observation.point_position"] = [row[:2] for row in state]
        columns["observation.environment_state"] = [row[2:] for row in state]

    for file in dataset.glob("data/*/*.parquet"):
        rewrite(file, divide)
    info = json.loads((dataset / "meta/info.json").read_text())
    del info["features"]["observation.state"]
    for name in ("point_position", "environment_state"):
        info["features"][f"observation.{name}"] = {"dtype": "float32", "shape": [2], "names": None}
    info["features"]["observation.images.front"] = {"dtype": "video", "shape": [48, 48, 3], "names": None}
    (dataset / "meta/info.json").write_text(json.dumps(info))
    demos = import_demos(dataset, TASK, names={"goal_position": "environment_state"})
    assert demos.notes == ("dropped 'observation.images.front' (video)",)
    for a, b in zip(demos.demos, varied().demos, strict=True):
        np.testing.assert_array_equal(a.observations, b.observations)


def test_lerobot_datasets_that_are_refused(dataset):
    place = dataset / "data/chunk-000/file-000.parquet"
    whole, info = place.read_bytes(), (dataset / "meta/info.json").read_text()

    def refused(said):
        with pytest.raises(FileError, match=said) as error:
            import_demos(dataset, TASK)
        assert "\n" not in str(error.value)
        place.write_bytes(whole)

    rewrite(place, lambda columns: columns.update(action=[row[:1] for row in columns["action"]]))
    refused("episode 0: data/chunk-000/file-000.parquet: action has 102 values, not 2 for each of 102 rows")
    rewrite(place, lambda columns: columns["action"].__setitem__(slice(0, 2), [[0.0], [0.0, 0.0, 0.0]]))
    refused("lists of different lengths")
    rewrite(place, lambda columns: columns.update(action=[["left", "right"]] * 102))
    refused("values of type string are no 2 numbers for each of 102 rows")
    rewrite(place, lambda columns: [column.pop() for column in columns.values()])
    refused("has 101 rows, but its episodes have 102")
    rewrite(place, lambda columns: columns["episode_index"].__setitem__(5, 7))
    refused("episode 1: .* of its 4 rows are there, one after the other")
    (dataset / "meta/info.json").write_text(info.replace('"v3.0"', '"v2.1"'))
    refused("is a dataset of LeRobot v2.1; convert it to v3.0 with LeRobot first")
    (dataset / "meta/info.json").write_text("{}")
    refused("info.json is not LeRobot's")
    (dataset / "meta/info.json").write_text("{")
    refused("info.json is not a readable JSON file")
    (dataset / "meta/info.json").write_text(info)
    for file in dataset.glob("meta/episodes/*/*.parquet"):
        file.unlink()
    refused("has no episode")
