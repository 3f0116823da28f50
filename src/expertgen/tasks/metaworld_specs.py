"""MetaWorld's fifty tasks as specifications: their observation fields, cameras, and the simulator that is sound."""

from __future__ import annotations

import re

from expertgen.tasks.audit_record import shipped_record
from expertgen.tasks.metaworld_table import TASKS, MetaWorldTask, ObservedObject
from expertgen.tasks.spec import CameraSpec, ObservationField, TaskSpec

CAMERAS = (
    CameraSpec("front", position=(-0.05, 1.30, 0.62), target=(-0.05, 0.57, 0.08), fovy=46.0),
    CameraSpec("side", position=(0.75, 0.45, 0.55), target=(-0.05, 0.57, 0.08), fovy=42.0),
    CameraSpec("hand", position=(0.11, 0.0, 0.09), target=(-0.02, 0.0, -0.09), fovy=75.0, mount="hand"),
)
"""Three cameras that see the workspace from outside the arm's own volume."""

PERTURBATIONS = ("gripper_open", "actuation_noise", "latency", "observation_noise", "random_start")
"""What actions and observations alone can bring about."""


def metaworld_tasks() -> list[TaskSpec]:
    """Returns the specifications of all fifty tasks."""
    return [_spec(task) for task in TASKS]


def metaworld_name(task: TaskSpec) -> str:
    """Returns MetaWorld's own name of a task, e.g. `"peg-insert-side-v3"` for `"MetaWorld/PegInsertSide-v3"`."""
    camel = task.simulator_id.removeprefix("MetaWorld/")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", camel).lower()


def _spec(task: MetaWorldTask) -> TaskSpec:
    audit = shipped_record().tasks.get(task.id)
    defects = audit.defects if audit else ()
    fields = (
        *_frame_fields(task.objects, 0, "", ""),
        *_frame_fields(task.objects, 18, "previous_", ", one control step earlier"),
        ObservationField("goal_position", 36, 39, "m", "base", "where the object (or the hand) must go"),
    )
    return TaskSpec(
        id=task.id,
        simulator="metaworld" if defects else "envpool",
        simulator_id="MetaWorld/" + "".join(word.capitalize() for word in task.id.split("-")) + "-v3",
        description=task.description,
        success=task.success,
        observation_size=39,
        action_names=("hand_x", "hand_y", "hand_z", "gripper"),
        action_unit="hand: 1 moves the set point by 1 cm per control step along an axis of the base frame; "
        "gripper: 1 closes and -1 opens with full force",
        control_rate=80.0,
        horizon=task.horizon,
        fields=fields,
        observation_groups={
            "expert": tuple(field.name for field in fields),
            "student": ("hand_position", "gripper_opening"),
        },
        cameras=CAMERAS,
        perturbations=PERTURBATIONS,
        largest_reward=10.0,
        note=f"EnvPool is unsound here: {'; '.join(defects)}" if defects else "",
    )


def _frame_fields(objects: tuple[ObservedObject, ...], start: int, prefix: str, suffix: str) -> list[ObservationField]:
    """Returns the fields of one of the two stacked frames; columns that a task leaves at zero get no field."""
    fields = [
        ObservationField(f"{prefix}hand_position", start, start + 3, "m", "base", f"centre of the hand{suffix}"),
        ObservationField(
            f"{prefix}gripper_opening",
            start + 3,
            start + 4,
            "1",
            "",
            f"distance of the fingers, 0 closed to 1 open (10 cm){suffix}",
        ),
    ]
    for i, thing in enumerate(objects):
        first = start + 4 + 7 * i
        fields.append(
            ObservationField(f"{prefix}{thing.stem}_position", first, first + 3, "m", "base", thing.position + suffix)
        )
        if thing.quaternion:
            fields.append(
                ObservationField(
                    f"{prefix}{thing.stem}_quaternion",
                    first + 3,
                    first + 7,
                    "1",
                    f"base, {thing.quaternion}",
                    f"orientation of {thing.position}{suffix}",
                )
            )
    return fields
