"""Demonstrations from the command line: wrong input is refused in one line, with exit code 2 and nothing written."""

import os
from dataclasses import replace

import h5py
import numpy as np
import pytest

from expertgen.cli import demos as demos_cli
from expertgen.cli import main
from expertgen.demos.collect import CollectConfig
from expertgen.demos.scripted import default_imperfections
from expertgen.demos.store import DemoSet
from expertgen.pipeline import inputs
from expertgen.tasks.registry import get_task, make_env
from tests.demos.builders import demo_set
from tests.toys import point_demos

TOY = "tests.test_pipeline:POINT"


def program(act, tail=""):
    return f"class Program:\n    def reset(self, seed): pass\n    def act(self, observation):\n        {act}\n{tail}"


PROGRAMS = {
    "fine.py": program("return [0.5, 0.5]"),
    "syntax.py": program("return [0.5, 0.5]", "def"),
    "empty.py": "",
    "three.py": program("return [0, 0, 0]"),
    "nan.py": program("return [0, float('nan')]"),
    "nothing.py": program("pass"),
    "raises.py": program("return observation['puck_position']"),
}


def arrays(**changes):
    """Three episodes of 4, 5 and 6 steps; None leaves an array out."""
    demos = demo_set().demos
    whole = {
        "observations": np.concatenate([demo.observations for demo in demos]),
        "actions": np.concatenate([demo.actions for demo in demos]),
        "episode_lengths": np.array([4, 5, 6]),
    }
    return {name: array for name, array in (whole | changes).items() if array is not None}


ARCHIVES = {
    "fine.npz": arrays(),
    "no_actions.npz": arrays(actions=None),
    "wide.npz": arrays(observations=np.zeros((15, 7))),
    "single.npz": arrays(actions=np.array(0.5)),
    "single_length.npz": arrays(episode_lengths=np.array(15)),
    "words.npz": arrays(actions=np.full((15, 2), "left")),
    "lengths.npz": arrays(episode_lengths=np.array([4, 5])),
    "nothing.npz": arrays(
        observations=np.zeros((0, 4)), actions=np.zeros((0, 2)), episode_lengths=np.zeros(0, np.int64)
    ),
    "nan.npz": arrays(observations=np.full((15, 4), np.nan)),
    "slightly.npz": arrays(actions=np.full((15, 2), 1.25)),
    "degrees.npz": arrays(actions=np.full((15, 2), 90.0)),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the commands run, with programs and demonstrations to choose from."""
    monkeypatch.chdir(tmp_path)
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text)
    for name, archive in ARCHIVES.items():
        np.savez(tmp_path / name, **archive)
    demo_set().save(tmp_path / "own.h5")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "own.h5").read_bytes()[:-2000])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "fine.npz").read_bytes()[:-100])
    with h5py.File(tmp_path / "single.h5", "w") as file:
        file["data/demo_0/actions"] = 0.5
        file["data/demo_0/obs/observation"] = np.zeros((4, 4))
    return tmp_path


COLLECT = {
    "unknown task": (["peg-insert-sid"], "did you mean 'peg-insert-side'"),
    "no task": ([], "collect: STR Task id. (required); see expertgen demos collect --help"),
    "no such module": (["nowhere:TASK"], "task 'nowhere:TASK' cannot be imported"),
    "no script": (["adroit-door"], "has no scripted demonstrator; give one with --program FILE"),
    "no episodes": ([TOY, "--program", "fine.py", "--episodes", "0"], "demos.episodes must be at least 1, not 0"),
    "no environments": ([TOY, "--program", "fine.py", "--num-envs", "0"], "demos.num_envs must be at least 1, not 0"),
    "negative seed": ([TOY, "--program", "fine.py", "--seed", "-1"], "seed must not be negative"),
    "imperfection": (
        [TOY, "--imperfections.no-recovery", "2"],
        "no_recovery must lie in [0, 1], not 2.0",
    ),
    "missing program": ([TOY, "--program", "nowhere.py"], "program: nowhere.py does not exist"),
    "a folder as program": ([TOY, "--program", "."], "program: . does not exist"),
    "syntax error": ([TOY, "--program", "syntax.py"], "syntax.py, line 5: invalid syntax"),
    "no class": ([TOY, "--program", "empty.py"], "empty.py defines no class Program"),
    "wrong shape": ([TOY, "--program", "three.py"], "three.py, line 3: act returned shape [3] instead of [2]"),
    "NaN": ([TOY, "--program", "nan.py"], "nan.py, line 3: act returned a value that is not finite: [0.0, nan]"),
    "no action": ([TOY, "--program", "nothing.py"], "nothing.py, line 3: act returned nothing"),
    "unknown field": ([TOY, "--program", "raises.py"], "line 4: there is no observation field 'puck_position'; "),
    "no success": ([TOY, "--program", "fine.py", "--keep", "successes", "--episodes", "2"], "none of 2 episodes"),
    "existing output": ([TOY, "--program", "fine.py", "--out", "own.h5"], "own.h5 exists already; choose another"),
    "a folder as output": ([TOY, "--program", "fine.py", "--out", "."], ". exists already; choose another"),
    "a file on the way": ([TOY, "--program", "fine.py", "--out", "fine.py/new.h5"], "cannot write fine.py/new.h5: "),
}

IMPORT = {
    "unknown task": (["peg-insert-sid", "fine.npz"], "did you mean 'peg-insert-side'"),
    "no file": ([TOY], "Missing from expertgen demos import: PATH Demonstrations: npz, robomimic HDF5, or the folder"),
    "missing file": ([TOY, "nowhere.npz"], "nowhere.npz does not exist"),
    "missing HDF5": ([TOY, "nowhere.h5"], "nowhere.h5 does not exist"),
    "neither": (
        [TOY, "fine.py"],
        "fine.py is of no format that can be imported; these can be: npz, robomimic, minari, lerobot",
    ),
    "a folder": ([TOY, "."], ". is of no format that can be imported"),
    "no actions": ([TOY, "no_actions.npz"], "no_actions.npz has no array 'actions'; it has observations, episode_l"),
    "shape": (
        [TOY, "wide.npz"],
        "wide.npz: observation 'observation' has shape [7] at a step, but 'toy-point' needs [4]",
    ),
    "single action": ([TOY, "single.npz"], "single.npz: actions must be an array, not a single value"),
    "single length": ([TOY, "single_length.npz"], "episode_lengths must be an array, not a single value"),
    "words": ([TOY, "words.npz"], "words.npz: actions do not hold numbers, but <U4"),
    "lengths": ([TOY, "lengths.npz"], "lengths.npz: episode_lengths must be positive integers that sum to the 15"),
    "no episode": ([TOY, "nothing.npz"], "nothing.npz holds no whole demonstration"),
    "NaN": ([TOY, "nan.npz"], "nan.npz: episode 0: obs/point_position: NaN or infinity at step 0"),
    "nothing but broken": ([TOY, "nan.npz", "--skip-broken"], "nan.npz holds no whole demonstration"),
    "out of range": ([TOY, "slightly.npz", "--no-clip"], "slightly.npz: episode 0: actions reach 1.25 at step 0, outs"),
    "other units": ([TOY, "degrees.npz"], "degrees.npz: episode 0: actions reach 90: scale them to [-1, 1]"),
    "cut archive": ([TOY, "cut.npz"], "cut.npz is truncated or not a NumPy archive"),
    "cut HDF5": ([TOY, "cut.h5"], "cut.h5 is truncated or damaged"),
    "single value in HDF5": ([TOY, "single.h5"], "single.h5: demo_0: actions is not an array, but a single value"),
    "unknown format": ([TOY, "fine.npz", "--format", "rlds"], "there is no format 'rlds'; choose one of npz, robom"),
    "another format": ([TOY, "own.h5", "--format", "minari"], "own.h5 has no group episode_<i>: it is not a dataset"),
    "name without field": ([TOY, "fine.npz", "--names", "eef_pos"], "--names takes FIELD=NAME, not eef_pos"),
    "name of no field": ([TOY, "fine.npz", "--names", "point=eef_pos"], "has no observation field 'point'; did you"),
    "another task's": (["assembly", "own.h5"], "these are demonstrations of 'toy-point'"),
    "existing output": ([TOY, "fine.npz", "--out", "own.h5"], "own.h5 exists already; choose another with --out"),
    "a file on the way": ([TOY, "fine.npz", "--out", "fine.py/new.h5"], "cannot write fine.py/new.h5: "),
}

TELEOP = {
    "unknown task": (["drawer-opn"], "did you mean 'drawer-open'"),
    "no pictures": (["adroit-door"], "task 'adroit-door' cannot be shown: teleoperation is for MetaWorld's tasks"),
    "pace": (["reach", "--pace", "3"], "pace must be one of 0.125, 0.25, 0.5, 1, not 3"),
    "no episodes": (["reach", "--episodes", "0"], "episodes must be at least 1, not 0"),
    "port": (["reach", "--port", "-1"], "port must lie between 0 and 65535, not -1"),
    "horizon": (["reach", "--horizon", "0"], "horizon must be at least 1, not 0"),
    "another task's": (["reach", "--out", "own.h5"], "these are demonstrations of 'toy-point'"),
    "not demonstrations": (["reach", "--out", "fine.py"], "fine.py is not an HDF5 file"),
    "a file on the way": (["reach", "--out", "fine.py/new.h5"], "cannot write fine.py/new.h5: "),
}


MIX = {
    "verb": (["mix"], "programs, import TASK FILE, export FILE, show FILE, merge, f"),
    "one file": (["merge", "own.h5", "--out", "new.h5"], "demos merge takes at least two files"),
    "no output": (["merge", "own.h5", "own.h5"], "--out"),
    "foreign file": (["merge", "own.h5", "fine.npz", "--out", "new.h5"], "fine.npz is not an HDF5 file"),
    "cut file": (["filter", "cut.h5", "--out", "new.h5"], "cut.h5 is truncated"),
    "nothing left": (
        ["filter", "own.h5", "--min-steps", "100", "--out", "new.h5"],
        "no demonstration of 'toy-point'",
    ),
    "nobody": (["filter", "own.h5", "--source", "anna", "--out", "new.h5"], "no demonstration is by 'anna'"),
    "existing": (["filter", "own.h5", "--out", "own.h5"], "own.h5 exists already"),
    "one part": (["split", "own.h5", "--out", "a.h5", "a.h5"], "--out names a.h5 twice; give two files"),
    "share": (["split", "own.h5", "--share", "1", "--out", "a.h5", "b.h5"], "share must be between 0 and 1"),
    "too many": (["subsample", "own.h5", "--episodes", "4", "--out", "a.h5"], "episodes must be from 1 to 3"),
    "weight": (["weigh", "own.h5", "--weight", "0", "--out", "a.h5"], "weight must be positive, not 0.0"),
    "format": (["export", "own.h5", "--format", "rlds"], "there is no format 'rlds'"),
    "export of a custom task": (["export", "own.h5", "--format", "npz"], "'toy-point' is not one of `expertgen tasks`"),
    "export over a file": (
        ["export", "own.h5", "--format", "npz", "--task", TOY, "--out", "fine.npz"],
        "exists already",
    ),
    "export over a folder": (["export", "own.h5", "--format", "minari", "--task", TOY, "--out", "."], "exists already"),
    "export as another": (
        ["export", "own.h5", "--format", "npz", "--task", "assembly"],
        "demonstrations of 'toy-point'",
    ),
    "compare with nothing": (["compare", "own.h5", "nowhere.h5"], "nowhere.h5 does not exist"),
}


def assert_refused(words, said, folder, capsys):
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("expertgen: ")
    assert error.count("\n") == 1
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before


@pytest.mark.parametrize("name", COLLECT)
def test_what_cannot_be_collected_is_refused(name, folder, capsys):
    words, said = COLLECT[name]
    assert_refused(["demos", "collect", *words], said, folder, capsys)


@pytest.mark.parametrize("name", IMPORT)
def test_what_cannot_be_imported_is_refused(name, folder, capsys):
    words, said = IMPORT[name]
    assert_refused(["demos", "import", *words], said, folder, capsys)


@pytest.mark.parametrize("name", TELEOP)
def test_what_cannot_be_recorded_is_refused(name, folder, capsys):
    pytest.importorskip("websockets", reason="the extra serve is not installed")
    pytest.importorskip("metaworld", reason="the extra vision is not installed")
    words, said = TELEOP[name]
    assert_refused(["demos", "teleop", *words], said, folder, capsys)


@pytest.mark.parametrize("name", MIX)
def test_what_cannot_be_mixed_or_exported_is_refused(name, folder, capsys):
    words, said = MIX[name]
    assert_refused(["demos", *words], said, folder, capsys)


def test_of_several_programs_one_may_never_succeed(folder):
    able = "return 10 * (observation['goal_position'] - observation['point_position'])"
    (folder / "able.py").write_text(program(able))
    (folder / "lazy.py").write_text(program("return [0, 0]"))
    words = ["--program", "lazy.py", "able.py", "--episodes", "8", "--keep", "successes", "--out", "kept.h5"]
    assert main(["demos", "collect", TOY, *words]) == 0
    demos = DemoSet.load(folder / "kept.h5")
    assert len(demos) == 4
    assert {demo.source for demo in demos.demos} == {"able.py"}


def test_mixing_from_the_command_line(folder, capsys):
    for words in (
        ["import", TOY, "fine.npz", "--source", "glove", "--out", "glove.h5"],
        ["merge", "own.h5", "glove.h5", "--out", "both.h5"],
        [
            "filter",
            "both.h5",
            "--keep",
            "successes",
            "--source",
            "glove",
            "test",
            "--max-steps",
            "5",
            "--out",
            "few.h5",
        ],
        ["weigh", "few.h5", "--weight", "3", "--source", "glove", "--out", "heavy.h5"],
        ["split", "heavy.h5", "--share", "0.5", "--out", "a.h5", "b.h5"],
        ["subsample", "heavy.h5", "--episodes", "2", "--out", "two.h5"],
    ):
        assert main(["demos", *words]) == 0
    kept = {(d.origin, d.source, d.weight) for d in DemoSet.load(folder / "heavy.h5").demos}
    assert kept == {
        ("own.h5: demo_0", "test", 1.0),
        ("fine.npz: episode 0", "glove", 3.0),
        ("fine.npz: episode 1", "glove", 3.0),
    }
    parts = [DemoSet.load(folder / name) for name in ("a.h5", "b.h5")]
    assert {(d.origin, d.source, d.weight) for part in parts for d in part.demos} == kept
    assert len(DemoSet.load(folder / "two.h5")) == 2
    capsys.readouterr()
    assert main(["demos", "compare", "own.h5", "glove.h5"]) == 0
    assert "starts covered by the other" in capsys.readouterr().out


@pytest.mark.parametrize("format", ["npz", "robomimic", "minari", "lerobot"])
def test_a_format_and_back_from_the_command_line(format, folder):
    if format == "lerobot":
        pytest.importorskip("pyarrow", reason="the extra 'lerobot' is not installed")
    assert main(["demos", "export", "own.h5", "--format", format, "--task", TOY, "--out", "there"]) == 0
    if format == "npz":
        os.rename("there", "there.npz")
    path = "there.npz" if format == "npz" else "there"
    assert main(["demos", "import", TOY, path, "--out", "back.h5"]) == 0
    back, own = DemoSet.load(folder / "back.h5"), DemoSet.load(folder / "own.h5")
    assert [d.origin for d in back.demos] == [f"own.h5: demo_{i}" for i in range(3)]
    for a, b in zip(back.demos, own.demos, strict=True):
        np.testing.assert_array_equal(a.observations, b.observations)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("words", [["collect", TOY, "--program", "fine.py"], ["import", TOY, "fine.npz"]])
def test_a_folder_that_cannot_be_written_is_refused(words, folder, capsys):
    folder.chmod(0o500)
    assert_refused(["demos", *words], "is not a folder that you may write in; choose another --out", folder, capsys)
    folder.chmod(0o700)


def test_programs_are_collected_with_no_more_environments_than_episodes(folder, monkeypatch):
    sizes = []

    def counted(task, num_envs, **options):
        sizes.append(num_envs)
        return make_env(task, num_envs, **options)

    monkeypatch.setattr(inputs, "make_env", counted)
    for episodes, num_envs in ((3, 64), (3, 2)):
        out = f"{num_envs}.h5"
        words = ["--program", "fine.py", "--episodes", str(episodes), "--num-envs", str(num_envs), "--out", out]
        assert main(["demos", "collect", TOY, *words]) == 0
        assert len(DemoSet.load(folder / out)) == episodes
    assert sizes == [3, 2]


@pytest.mark.parametrize("flags", [[], ["--no-sandbox"]])
def test_episodes_whose_program_fails_are_counted(flags, folder, capsys):
    (folder / "sometimes.py").write_text(
        program("self.n = getattr(self, 'n', 0) + 1; return [0.5, 0.5 / (self.n % 7)]")
    )
    words = ["--program", "sometimes.py", "--episodes", "4", "--num-envs", "4", *flags]
    assert main(["demos", "collect", TOY, *words]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "demonstrations end where the program failed" in said
    assert "times 'sometimes.py, line 4: ZeroDivisionError: float division by zero'" in said


def test_only_without_the_sandbox_a_program_has_the_users_rights(folder, capsys):
    (folder / "key.txt").write_text("secret")
    (folder / "reads.py").write_text(program(f"open({str(folder / 'key.txt')!r}); return [0.5, 0.5]"))
    words = ["demos", "collect", TOY, "--program", "reads.py", "--episodes", "1"]
    assert main(words) == 2
    assert "reads.py, line 4: " in capsys.readouterr().err
    assert not (folder / "demos").exists()
    assert main([*words, "--no-sandbox"]) == 0


def test_what_a_program_prints_is_shown_without_what_steers_a_terminal(folder, capfd):
    (folder / "prints.py").write_text(program("print('hello \\x1b[31m'); return [0.5, 0.5]"))
    assert main(["demos", "collect", TOY, "--program", "prints.py", "--episodes", "1"]) == 0
    shown = capfd.readouterr()
    assert "prints.py: hello \N{REPLACEMENT CHARACTER}[31m" in shown.err + shown.out


def test_a_task_of_a_users_module_is_shown_with_its_units(folder, capsys):
    assert main(["demos", "collect", TOY, "--program", "fine.py", "--episodes", "2"]) == 0
    assert "│ m    │" in capsys.readouterr().out
    assert main(["demos", "show", "own.h5"]) == 0
    assert "│ m    │" not in capsys.readouterr().out
    assert main(["demos", "show", "own.h5", "--task", TOY]) == 0
    assert "│ m    │" in capsys.readouterr().out
    assert main(["demos", "show", "own.h5", "--task", "assembly"]) == 2


def test_actions_slightly_out_of_range_are_clipped_and_counted(folder, capsys):
    assert main(["demos", "import", TOY, "slightly.npz"]) == 0
    assert "clipped 30 of 30 action values to [-1, 1]; the largest was 1.25" in capsys.readouterr().out
    assert DemoSet.load(folder / "demos" / "toy-point.h5").demos[0].actions.max() == 1.0


def test_scripted_demonstrators_have_the_imperfections_of_the_task(monkeypatch):
    asked = []

    def collected(task, config):
        asked.append(config.demos)
        return point_demos(2, seed=0)
        yield

    monkeypatch.setattr(demos_cli, "collect_demos", collected)
    for i, words in enumerate((["assembly"], ["drawer-open"], ["hammer", "--imperfections.calibration-error", "0.01"])):
        assert main(["demos", "collect", *words, "--episodes", "5", "--out", f"{i}.h5"]) == 0
    assembly, drawer, hammer = (default_imperfections(get_task(id)) for id in ("assembly", "drawer-open", "hammer"))
    hammer = replace(hammer, calibration_error=0.01)
    assert [config.imperfections for config in asked] == [assembly, drawer, hammer]
    assert asked[0] == CollectConfig(episodes=5)


def test_the_file_names_the_imperfections(folder):
    pytest.importorskip("metaworld", reason="the extra vision is not installed")
    assert main(["demos", "collect", "assembly", "--episodes", "1", "--imperfections.latency", "1"]) == 0
    demos = DemoSet.load(folder / "demos" / "assembly.h5")
    demos.check(get_task("assembly"))
    assert demos.demos[0].source == "metaworld-expert, calibration_error 0.015, actuation_noise 0.3, latency 1"


def test_several_programs_share_the_episodes(folder):
    (folder / "still.py").write_text(program("return [0, 0]"))
    words = ["--program", "fine.py", "still.py", "--episodes", "5"]
    assert main(["demos", "collect", TOY, *words, "--out", "both.h5"]) == 0
    assert main(["demos", "collect", TOY, "--program", "fine.py", "--episodes", "3", "--out", "one.h5"]) == 0
    both, one = DemoSet.load(folder / "both.h5").demos, DemoSet.load(folder / "one.h5").demos
    assert [demo.source for demo in both] == ["fine.py"] * 3 + ["still.py"] * 2
    assert both[0].seed == both[2].seed != both[3].seed
    for demo, alone in zip(both[:3], one, strict=True):  # the first one plays as it would alone
        np.testing.assert_array_equal(demo.observations, alone.observations)


def test_more_programs_than_episodes(folder, capsys):
    words = ["demos", "collect", TOY, "--program", "fine.py", "fine.py", "--episodes", "1"]
    assert_refused(words, "demos.episodes (1) is less than one for each of 2 programs", folder, capsys)
