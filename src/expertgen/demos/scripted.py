"""The scripted demonstrators: MetaWorld's own expert programs, one for each of its fifty tasks, and one of ours."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from expertgen.demos.bimanual import ROLES, BimanualInsertion
from expertgen.demos.calibrated import imperfections_of, shipped_calibrations
from expertgen.demos.imperfections import DEFAULT_IMPERFECTIONS, Imperfections, Roles, imperfect
from expertgen.demos.program import MakeProgram
from expertgen.errors import UsageError
from expertgen.tasks.bimanual import SIMULATOR_ID
from expertgen.tasks.metaworld_specs import metaworld_name
from expertgen.tasks.spec import TaskSpec

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


@dataclass(frozen=True)
class Script:
    """A scripted demonstrator.

    Attributes:
        source: who demonstrates, as it stands in files.
        make_program: makes one program.
        roles: what its imperfections are about.
    """

    source: str
    make_program: MakeProgram
    roles: Roles


OWN_SCRIPTS = {SIMULATOR_ID: Script("bimanual-script", BimanualInsertion, ROLES)}
"""The scripted demonstrators that are part of this package, by the task's id in its simulator."""


def find_script(task: TaskSpec) -> Script:
    """Returns the scripted demonstrator of a task, without imperfections.

    Raises:
        UsageError: if the task has none, or the extra `vision`, which brings MetaWorld, is not installed.
    """
    if task.simulator_id in OWN_SCRIPTS:
        return OWN_SCRIPTS[task.simulator_id]
    if task.simulator_id.startswith("MetaWorld/"):
        return Script("metaworld-expert", _metaworld_program(task), metaworld_roles(task))
    raise UsageError(
        f"task {task.id!r} has no scripted demonstrator; give one with --program FILE, or import demonstrations"
    )


def imperfect_demonstrator(task: TaskSpec, imperfections: Imperfections) -> MakeProgram:
    """Returns a function that makes the scripted demonstrator of a task with imperfections; raises as `find_script`."""
    script = find_script(task)
    return imperfect(script.make_program, imperfections, script.roles)


def default_imperfections(task: TaskSpec) -> Imperfections:
    """Imperfections under which a task's scripted demonstrator makes a prior worth steering, by calibration."""
    found = shipped_calibrations().get(task.id)
    return imperfections_of(found.strength) if found else DEFAULT_IMPERFECTIONS


def source_name(task: TaskSpec, imperfections: Imperfections) -> str:
    """What stands as the source in a file, e.g. `"metaworld-expert, actuation_noise 0.3"`; raises as `find_script`."""
    strengths = [f"{name} {value:g}" for name, value in asdict(imperfections).items() if value]
    return ", ".join([find_script(task).source, *strengths])


def metaworld_roles(task: TaskSpec) -> Roles:
    """What the imperfections of a MetaWorld task are about.

    It is the object to be handled, which is always in columns 4:7, or the goal where the hand itself is to go there.
    """
    first = 36 if task.id in _REACHING else 4
    handled = next(field.name for field in task.fields if field.start == first)
    return Roles(handled, "hand_position", task.action_names.index("gripper"))


def _metaworld_program(task: TaskSpec) -> MakeProgram:
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
