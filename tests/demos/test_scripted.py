import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from expertgen.demos.collect import collect
from expertgen.demos.imperfections import Imperfections, Roles
from expertgen.demos.program import visible_fields
from expertgen.demos.scripted import (
    find_script,
    imperfect_demonstrator,
    metaworld_roles,
    source_name,
)
from expertgen.errors import UsageError
from expertgen.runs.progress import drain
from expertgen.tasks.metaworld_specs import metaworld_name, metaworld_tasks
from expertgen.tasks.registry import get_task, make_env

needs_metaworld = pytest.mark.skipif(find_spec("metaworld") is None, reason="the extra 'vision' is not installed")
ENVS = 6
HORIZON = 130


def successes(task_name, imperfections, seed=0):
    task = replace(get_task(task_name), horizon=HORIZON)
    env = make_env(task, ENVS)
    demos = drain(collect(env, imperfect_demonstrator(task, imperfections), ENVS, seed, "test"))
    env.close()
    return demos.successes


@needs_metaworld
def test_named_fields_are_all_that_the_fifty_experts_need():
    from metaworld.policies import ENV_POLICY_MAP

    generator = np.random.default_rng(0)
    tasks = metaworld_tasks()
    assert len(tasks) == 50
    for task in tasks:
        reference, program = ENV_POLICY_MAP[metaworld_name(task)](), find_script(task).make_program()
        program.reset(0)
        for _ in range(20):
            flat = np.zeros(39)
            for columns in visible_fields(task).values():
                flat[columns] = generator.uniform(-0.3, 0.8, columns.stop - columns.start)
            observation = {name: flat[columns] for name, columns in visible_fields(task).items()}
            np.testing.assert_array_equal(program.act(observation), reference.get_action(flat))


def test_roles_are_the_object_the_hand_and_the_gripper():
    assert metaworld_roles(get_task("peg-insert-side")) == Roles("peg_position", "hand_position", 3)
    assert metaworld_roles(get_task("reach")).object_position == "goal_position"
    assert metaworld_roles(get_task("stick-pull")) == Roles("stick_position", "hand_position", 3)
    assert all(metaworld_roles(task).object_position.endswith("_position") for task in metaworld_tasks())


@needs_metaworld
@pytest.mark.parametrize("task_name", ["assembly", "drawer-open"])
def test_without_imperfections_the_expert_succeeds(task_name):
    assert successes(task_name, Imperfections()) == ENVS


@needs_metaworld
@pytest.mark.parametrize(
    "imperfections",
    [
        Imperfections(calibration_error=0.04),
        Imperfections(actuation_noise=0.6),
        Imperfections(actuation_noise=0.3, actuation_correlation=0.95),
        Imperfections(latency=5),
        Imperfections(gripper_opening=0.1),
    ],
    ids=["calibration", "white noise", "smooth noise", "latency", "gripper"],
)
def test_each_imperfection_alone_spoils_the_expert(imperfections):
    assert successes("assembly", imperfections) <= ENVS // 2


def test_source_names_what_is_wrong():
    assert source_name(get_task("reach"), Imperfections()) == "metaworld-expert"
    assert (
        source_name(get_task("reach"), Imperfections(0.015, latency=2))
        == "metaworld-expert, calibration_error 0.015, latency 2"
    )


def test_tasks_without_a_script_say_so():
    with pytest.raises(UsageError, match="task 'hopper' has no scripted demonstrator; give one with --program FILE"):
        find_script(get_task("hopper"))


def test_without_metaworld_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "metaworld.policies", None)
    with pytest.raises(UsageError, match=r"pip install 'expertgen\[vision\]'"):
        find_script(get_task("assembly"))
