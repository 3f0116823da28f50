"""Tasks by name: refusals name the nearest, third parties are found, unsound simulators are refused."""

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.tasks import registry
from expertgen.tasks.audit_record import shipped_record
from expertgen.tasks.envpool_env import EnvPoolEnv
from expertgen.tasks.metaworld_specs import metaworld_name, metaworld_tasks
from expertgen.tasks.registry import get_task, make_env, task_names
from tests.toys import PointEnv, point_task

NAMED = {
    "assembly": "ring_position",
    "peg-insert-side": "peg_position",
    "pick-place": "puck_position",
    "stick-pull": "thermos_position",
    "shelf-place": "block_position",
    "box-close": "lid_position",
    "hammer": "nail_position",
    "drawer-open": "handle_position",
    "adroit-door": "door_angle",
    "adroit-relocate": "palm_from_ball",
    "fetch-push": "goal_position",
}


@pytest.fixture
def fresh_registry():
    registry._tasks.cache_clear()
    yield
    registry._tasks.cache_clear()


def test_all_simulators_are_covered():
    names = task_names()
    assert len(names) == len(set(names)) == 50 + 4 + 4 + 1 + 11
    assert len(metaworld_tasks()) == 50
    assert {"adroit-door", "adroit-hammer", "adroit-pen", "adroit-relocate", "inverted-double-pendulum"} <= set(names)


@pytest.mark.parametrize("name", task_names())
def test_fields_lie_in_the_observation_and_do_not_overlap(name):
    task = get_task(name)
    columns = np.concatenate([np.arange(f.start, f.stop) for f in task.fields])
    assert len(columns) == len(set(columns.tolist()))
    assert columns.max() < task.observation_size
    for group in task.observation_groups:
        assert set(task.columns(group)) <= set(columns)
    assert all(f.unit and f.meaning for f in task.fields)


@pytest.mark.parametrize(("name", "field"), NAMED.items())
def test_named_fields(name, field):
    assert get_task(name).field(field)


def test_students_see_no_privileged_state():
    for task in metaworld_tasks():
        assert task.observation_groups["student"] == ("hand_position", "gripper_opening")


def test_names_of_metaworld():
    assert metaworld_name(get_task("button-press-topdown-wall")) == "button-press-topdown-wall-v3"
    assert {metaworld_name(task).removesuffix("-v3") for task in metaworld_tasks()} == {t.id for t in metaworld_tasks()}


def test_an_unknown_task_is_refused_with_the_nearest_names():
    with pytest.raises(UsageError, match="unknown task 'peg-insert'; did you mean 'peg-insert-side'"):
        get_task("peg-insert")
    with pytest.raises(UsageError, match="`expertgen tasks` lists them all"):
        get_task("zzzzzz")


def test_an_unknown_field_or_group_is_refused():
    with pytest.raises(UsageError, match="no observation field 'peg_positon'; did you mean 'peg_position'"):
        get_task("peg-insert-side").field("peg_positon")
    with pytest.raises(UsageError, match="no observation group 'experts'"):
        get_task("peg-insert-side").columns("experts")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "num_envs must be at least 1, got 0"),
        ({"num_envs": 1, "threads": 0}, "threads must be at least 1, got 0"),
        ({"num_envs": 1, "simulator": "envpol"}, "unknown simulator 'envpol'; did you mean 'envpool'"),
        ({"num_envs": 1, "simulator": "no_such_module:make"}, "simulator 'no_such_module:make' cannot be imported"),
    ],
)
def test_impossible_environments_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        make_env(get_task("reach"), **arguments)


def test_unsound_tasks_run_elsewhere_and_are_refused_where_they_are_unsound():
    unsound = {name for name, audit in shipped_record().tasks.items() if not audit.sound}
    assert {"shelf-place", "dial-turn", "hammer"} <= unsound
    assert unsound == {task.id for task in metaworld_tasks() if task.simulator == "metaworld"}
    task = get_task("shelf-place")
    assert "EnvPool is unsound here" in task.note
    with pytest.raises(
        UsageError,
        match=r"fails its audit in EnvPool .*: use simulator='metaworld', or make_env\(.*allow_unsound=True\)",
    ):
        make_env(task, 1, simulator="envpool")
    assert isinstance(make_env(task, 1, simulator="envpool", allow_unsound=True), EnvPoolEnv)


def module(name, monkeypatch, **attributes):
    made = ModuleType(name)
    vars(made).update(attributes)
    monkeypatch.setitem(sys.modules, name, made)


def test_a_task_and_its_simulator_by_import_path(monkeypatch):
    task = get_task("reach")
    module(
        "my_tasks", monkeypatch, POINT=point_task(), make=lambda task, n, threads: PointEnv(n, task=task), NOT=task.id
    )
    point = get_task("my_tasks:POINT")
    env = make_env(point, 3, simulator="my_tasks:make")
    assert (env.task, env.num_envs) == (point, 3)
    with pytest.raises(UsageError, match="'my_tasks:NOT' is a str, not a TaskSpec"):
        get_task("my_tasks:NOT")
    with pytest.raises(UsageError, match="'my_tasks:GONE' cannot be imported"):
        get_task("my_tasks:GONE")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("syntax:TASK", "SyntaxError: invalid syntax (syntax.py, line 1)"),
        ("raises:TASK", "ValueError: not today"),
        (":TASK", "ValueError: Empty module name"),
    ],
)
def test_a_broken_module_is_told_in_one_line(name, said, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "syntax.py").write_text("def\n")
    (tmp_path / "raises.py").write_text("raise ValueError('not\\ntoday')\n")
    with pytest.raises(UsageError) as caught:
        get_task(name)
    assert str(caught.value) == f"task {name!r} cannot be imported: {said}"


@pytest.mark.parametrize("attribute", ["ONE", "many", "MANY"])
def test_entry_points(attribute, monkeypatch, fresh_registry):
    task = point_task()
    module("their_tasks", monkeypatch, ONE=task, MANY=[task], many=lambda: (task,))
    entry = EntryPoint("theirs", f"their_tasks:{attribute}", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    assert task_names()[-1] == "toy-point"
    assert get_task("toy-point") == task


@pytest.mark.parametrize(
    ("given", "message"), [(3, "gave a int"), ("reach", "gave a str"), (get_task("reach"), "'reach' exists already")]
)
def test_broken_entry_points_are_left_out_with_a_warning(given, message, monkeypatch, fresh_registry, capsys):
    module("their_tasks", monkeypatch, TASKS=[given], FINE=point_task())
    names = ("their_tasks:TASKS", "no_such_package:TASKS", "their_tasks:FINE")
    entries = [EntryPoint("theirs", name, registry.ENTRY_POINT_GROUP) for name in names]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    assert len(task_names()) == 50 + 4 + 4 + 1 + 11 + 1
    assert get_task("reach").simulator_id == "MetaWorld/Reach-v3"
    theirs, missing = capsys.readouterr().err.splitlines()
    assert "'their_tasks:TASKS'" in theirs
    assert message in theirs
    assert "'no_such_package:TASKS' are left out: ModuleNotFoundError" in missing
