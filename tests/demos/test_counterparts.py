"""The real libraries open what we export, and what they write themselves is imported, each in a Python of its own.

EXPERTGEN_ROBOMIMIC_PYTHON, EXPERTGEN_MINARI_PYTHON and EXPERTGEN_LEROBOT_PYTHON name the interpreters; tests without
theirs are skipped. docs/formats.md says how such an environment is made.
"""

import os
import subprocess

import numpy as np
import pytest

from expertgen.demos.exchange import export_demos, import_demos
from expertgen.runs.progress import drain
from tests.demos.test_formats import FLAT_TASK, TASK, varied

ROBOMIMIC = """
import sys
import numpy as np
import robomimic.utils.obs_utils as obs_utils
from robomimic.utils.dataset import SequenceDataset

names = ["point_position", "goal_position"]
obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"low_dim": names}})
dataset = SequenceDataset(
    sys.argv[1], obs_keys=names, dataset_keys=["actions", "rewards", "dones"], hdf5_cache_mode="all", load_next_obs=True
)
rows = [dataset[i] for i in range(len(dataset))]
np.savez(
    sys.argv[2],
    observations=np.concatenate([np.concatenate([r["obs"][n] for n in names], axis=1) for r in rows]),
    following=np.concatenate([np.concatenate([r["next_obs"][n] for n in names], axis=1) for r in rows]),
    actions=np.concatenate([r["actions"] for r in rows]),
    rewards=np.concatenate([r["rewards"] for r in rows]),
    dones=np.concatenate([r["dones"] for r in rows]),
)
"""

MINARI = """
import os, sys
import numpy as np
os.environ["MINARI_DATASETS_PATH"] = sys.argv[1]
import minari

dataset = minari.load_dataset(sys.argv[3])
names = ["point_position", "goal_position"]
episodes = list(dataset.iterate_episodes())
assert dataset.total_steps == sum(len(e) for e in episodes)
assert dataset.action_space.contains(episodes[0].actions[0])
assert all(dataset.observation_space.contains({n: e.observations[n][0] for n in names}) for e in episodes)
said = list(dataset.storage.get_episode_metadata(range(len(episodes))))
np.savez(
    sys.argv[2],
    observations=np.concatenate([np.concatenate([e.observations[n][:-1] for n in names], axis=1) for e in episodes]),
    actions=np.concatenate([e.actions for e in episodes]),
    rewards=np.concatenate([e.rewards for e in episodes]),
    success=np.array([bool(e.terminations[-1]) and not e.truncations[-1] for e in episodes]),
    seed=np.array([m["seed"] for m in said]),
    source=np.array([m["source"] for m in said]),
)

own = [
    minari.data_collector.EpisodeBuffer(
        id=i, observations=np.full((i + 3, 4), i, np.float32), actions=np.full((i + 2, 2), 0.5, np.float32),
        rewards=[0.0] * (i + 2), terminations=[False] * (i + 2), truncations=[False] * (i + 1) + [True], infos={},
    )
    for i in range(4)
]
import gymnasium
space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
minari.create_dataset_from_buffers(
    "own/made-v0", own, observation_space=space, action_space=gymnasium.spaces.Box(-1, 1, (2,), np.float32)
)
"""

LEROBOT = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("local/ours", root=sys.argv[1])
rows = [dataset[i] for i in range(len(dataset))]
episodes = dataset.meta.episodes
assert rows[0]["task"] == sys.argv[3], rows[0]["task"]
assert dataset.meta.stats["action"]["q99"].shape == (2,)
np.savez(
    sys.argv[2],
    observations=np.stack([r["observation.state"].numpy() for r in rows]),
    actions=np.stack([r["action"].numpy() for r in rows]),
    rewards=np.stack([r["next.reward"].numpy() for r in rows]).ravel(),
    lengths=np.array(episodes["length"]),
    success=np.array(episodes["success"]),
    source=np.array(episodes["source"]),
    seed=np.array(episodes["seed"]),
)

features = {
    "observation.state": {"dtype": "float32", "shape": (4,), "names": ["a", "b", "c", "d"]},
    "action": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
}
own = LeRobotDataset.create("local/own", fps=10, features=features, root=sys.argv[1] + "-own", use_videos=False)
for i in range(4):
    for _ in range(i + 2):
        own.add_frame(
            {"observation.state": np.full(4, i, np.float32), "action": np.full(2, 0.5, np.float32), "task": "go"}
        )
    own.save_episode()
own.finalize()
"""


def run(library, script, *words):
    """Runs a script with the library's Python; returns the arrays it saves to its second argument."""
    name = f"EXPERTGEN_{library}_PYTHON"
    if name not in os.environ:
        pytest.skip(f"{name} is not set: docs/formats.md says how to make that environment")
    hidden = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [os.environ[name], "-c", script, *map(str, words)]
    done = subprocess.run(words, env=hidden, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(words[4])


def together(name):
    return np.concatenate([getattr(demo, name) for demo in varied().demos])


def assert_same(arrays):
    for name in ("observations", "actions", "rewards"):
        assert arrays[name].dtype == np.float32
        np.testing.assert_array_equal(arrays[name], together(name))


def assert_own(demos):
    """What the libraries are told to write above."""
    assert [len(demo.actions) for demo in demos.demos] == [2, 3, 4, 5]
    for i, demo in enumerate(demos.demos):
        assert (demo.observations == i).all()
        assert (demo.actions == 0.5).all()
        assert (demo.success, demo.source) == (True, "somebody")


def test_robomimic_reads_our_file(tmp_path):
    export_demos(varied(), TASK, tmp_path / "ours.hdf5", "robomimic")
    arrays = run("ROBOMIMIC", ROBOMIMIC, tmp_path / "ours.hdf5", tmp_path / "read.npz")
    assert_same(arrays)
    lengths = [len(demo.actions) for demo in varied().demos]
    last = np.cumsum(lengths) - 1
    assert np.flatnonzero(arrays["dones"]).tolist() == last.tolist()
    inner = np.setdiff1d(np.arange(sum(lengths)), last)
    np.testing.assert_array_equal(arrays["following"][inner], arrays["observations"][inner + 1])


def test_robomimic_reads_the_files_of_our_own_layout_too(tmp_path):
    varied().save(tmp_path / "own.h5")
    script = ROBOMIMIC.replace("load_next_obs=True", "load_next_obs=False").replace('r["next_obs"]', 'r["obs"]')
    assert_same(run("ROBOMIMIC", script, tmp_path / "own.h5", tmp_path / "read.npz"))


def test_minari_reads_our_dataset_and_we_read_theirs(tmp_path):
    export_demos(varied(), TASK, tmp_path / "expertgen" / "toy-point-v0", "minari")
    arrays = run("MINARI", MINARI, tmp_path, tmp_path / "read.npz", "expertgen/toy-point-v0")
    assert_same(arrays)
    for name in ("success", "seed", "source"):
        assert arrays[name].tolist() == [getattr(demo, name) for demo in varied().demos]
    assert_own(import_demos(tmp_path / "own" / "made-v0", FLAT_TASK, "somebody"))


def test_lerobot_reads_our_dataset_and_we_read_theirs(tmp_path):
    pytest.importorskip("pyarrow", reason="the extra 'lerobot' is not installed")
    export_demos(varied(), TASK, tmp_path / "ours", "lerobot")
    arrays = run("LEROBOT", LEROBOT, tmp_path / "ours", tmp_path / "read.npz", TASK.description)
    assert_same(arrays)
    assert arrays["lengths"].tolist() == [len(demo.actions) for demo in varied().demos]
    for name in ("success", "seed", "source"):
        assert arrays[name].tolist() == [getattr(demo, name) for demo in varied().demos]
    assert_own(import_demos(tmp_path / "ours-own", FLAT_TASK, "somebody"))


LEROBOT_FILM = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("local/ours", root=sys.argv[1])
rows = [dataset[i] for i in range(len(dataset))]
np.savez(
    sys.argv[2],
    pictures=np.stack([row["observation.images.front"].numpy() for row in rows]),
    mean=dataset.meta.stats["observation.images.front"]["mean"],
)
"""


def test_lerobot_sees_the_picture_of_each_control_step(tmp_path):
    pytest.importorskip("metaworld", reason="the extra 'vision' is not installed")
    from expertgen.vision.footage import shoot
    from tests.vision.test_footage import TASK as HAMMER
    from tests.vision.test_footage import pictures, wander

    demos, _ = wander()
    kept, films = drain(shoot(demos, HAMMER, ("front",), tmp_path, (64, 48)))
    export_demos(kept, HAMMER, tmp_path / "ours", "lerobot", films)
    arrays = run("LEROBOT", LEROBOT_FILM, tmp_path / "ours", tmp_path / "read.npz")
    ours = np.stack(pictures(films[0].path)).transpose(0, 3, 1, 2) / 255
    assert np.abs(arrays["pictures"] - ours).mean(axis=(1, 2, 3)).max() < 0.02
    assert arrays["mean"].shape == (3, 1, 1)
