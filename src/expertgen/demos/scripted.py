"""The scripted demonstrators: MetaWorld's own expert programs, one for each of its fifty tasks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from expertgen.demos.calibrated import imperfections_of, shipped_calibrations
from expertgen.demos.imperfections import DEFAULT_IMPERFECTIONS, Imperfections, Roles, imperfect
from expertgen.demos.program import MakeProgram
from expertgen.errors import UsageError
from expertgen.tasks.metaworld_specs import metaworld_name
from expertgen.tasks.spec import TaskSpec

SOURCE = "metaworld-expert"
"""Who demonstrates, where these programs do."""

_REACHING = ("reach", "reach-wall")
"""Tasks in which the hand goes to the goal, and nothing is handled."""


class MetaWorldExpert:
    """MetaWorld's expert of a task, from named fields. It has no memory and no randomness.

    Args:
        task: a MetaWorld task.
        policy: its `metaworld.policies` object.
    """

    def __init__(self, task: TaskSpec, policy: Any) -> None:
        self._fields = [(field.name, field.columns) for field in task.fields]
        self._policy = policy
        self._flat = np.zeros(task.observation_size)

    def reset(self, seed: int) -> None:
        """Nothing to forget."""

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """Chooses the action `[4]`; it may lie outside [-1, 1]."""
        for name, columns in self._fields:
            self._flat[columns] = observation[name]
        return self._policy.get_action(self._flat)


def scripted_program(task: TaskSpec) -> MakeProgram:
    """Returns a function that makes the scripted expert of a task.

    Raises:
        UsageError: if the task has none, or the extra `vision`, which brings MetaWorld, is not installed.
    """
    if not task.simulator_id.startswith("MetaWorld/"):
        raise UsageError(
            f"task {task.id!r} has no scripted demonstrator; give one with --program FILE, or import demonstrations"
        )
    try:
        from metaworld.policies import ENV_POLICY_MAP
    except ImportError as error:
        raise UsageError(
            "scripted demonstrators need MetaWorld; pip install 'expertgen[vision]', or give one with --program FILE"
        ) from error
    # The experts aim past their target on purpose; the environment clips. Said once per control step, it is noise.
    warnings.filterwarnings("ignore", message="Constant.s. may be too high", category=UserWarning)
    policy_class = ENV_POLICY_MAP[metaworld_name(task)]
    return lambda: MetaWorldExpert(task, policy_class())


def imperfect_demonstrator(task: TaskSpec, imperfections: Imperfections) -> MakeProgram:
    """Returns a function that makes the scripted expert of a task with imperfections; raises as `scripted_program`."""
    return imperfect(scripted_program(task), imperfections, metaworld_roles(task))


def default_imperfections(task: TaskSpec) -> Imperfections:
    """Imperfections under which a task's scripted demonstrator makes a prior worth steering, by calibration."""
    found = shipped_calibrations().get(task.id)
    return imperfections_of(found.strength) if found else DEFAULT_IMPERFECTIONS


def source_name(imperfections: Imperfections) -> str:
    """What stands as the source in a file, e.g. `"metaworld-expert, actuation_noise 0.3"`."""
    strengths = [f"{name} {value:g}" for name, value in asdict(imperfections).items() if value]
    return ", ".join([SOURCE, *strengths])


def metaworld_roles(task: TaskSpec) -> Roles:
    """What the imperfections of a MetaWorld task are about.

    It is the object to be handled, which is always in columns 4:7, or the goal where the hand itself is to go there.
    """
    first = 36 if task.id in _REACHING else 4
    handled = next(field.name for field in task.fields if field.start == first)
    return Roles(handled, "hand_position", task.action_names.index("gripper"))
