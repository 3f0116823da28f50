"""MetaWorld's fifty tasks as data: what is to be done, what the observation means, where the cameras stand.

Sources: the MetaWorld v3 environment classes (object and goal definitions, success thresholds, quaternion orders).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from expertgen.tasks.audit_record import shipped_record
from expertgen.tasks.spec import CameraSpec, ObservationField, TaskSpec

CAMERAS = (
    CameraSpec("front", position=(-0.05, 1.30, 0.62), target=(-0.05, 0.57, 0.08), fovy=46.0),
    CameraSpec("side", position=(0.75, 0.45, 0.55), target=(-0.05, 0.57, 0.08), fovy=42.0),
    CameraSpec("hand", position=(0.11, 0.0, 0.09), target=(-0.02, 0.0, -0.09), fovy=75.0, mount="hand"),
)
"""Three cameras that see the workspace from outside the arm's own volume."""

PERTURBATIONS = ("actuation_noise", "latency", "gripper_open")

DEFAULT_HORIZON = 200
"""Time limit [control steps], 2.5 s: MetaWorld's own is 500, but nine of ten experts need at most 205 steps.

Only push-back, where they need 311, gets more (the audit's `expert_steps`).
"""


class _Object(NamedTuple):
    """An observed object: stem of its field names, what its position means, order of its quaternion (if it has one)."""

    stem: str
    position: str
    quaternion: str | None = "wxyz"


class _Task(NamedTuple):
    """One row of the table of tasks."""

    id: str
    description: str
    success: str
    objects: tuple[_Object, ...]
    horizon: int = DEFAULT_HORIZON


def _object(position: str, quaternion: str | None = "wxyz", stem: str = "object") -> tuple[_Object, ...]:
    return (_Object(stem, position, quaternion),)


_TASKS = (
    _Task(
        "assembly",
        "Pick up the ring by its handle and put it over the rod.",
        "the ring is hooked over the rod: within 2 cm of its axis and below its top",
        _object("the handle of the ring", stem="ring"),
    ),
    _Task(
        "basketball",
        "Throw the ball through the basket.",
        "the ball is within 8 cm of the basket",
        _object("the ball"),
    ),
    _Task(
        "bin-picking",
        "Move the cube from one bin to the other.",
        "the cube is within 5 cm of the target",
        _object("the cube"),
    ),
    _Task(
        "box-close",
        "Grasp the lid by its handle and put it on the box.",
        "the lid is within 8 cm of its place on the box",
        _object("the lid", stem="lid"),
    ),
    _Task(
        "button-press-topdown",
        "Press the button from above.",
        "the button is within 2.4 cm of fully pressed",
        _object("the button"),
    ),
    _Task(
        "button-press-topdown-wall",
        "Reach over a wall and press the button from above.",
        "the button is within 2.4 cm of fully pressed",
        _object("the button"),
    ),
    _Task(
        "button-press",
        "Press the button from the front.",
        "the button is within 2 cm of fully pressed",
        _object("the button"),
    ),
    _Task(
        "button-press-wall",
        "Reach over a wall and press the button from the front.",
        "the button is within 3 cm of fully pressed",
        _object("the button"),
    ),
    _Task(
        "coffee-button",
        "Press the button of the coffee machine.",
        "the button is within 2 cm of fully pressed",
        _object("the button", None),
    ),
    _Task(
        "coffee-pull",
        "Pull the mug away from the coffee machine.",
        "the mug is within 7 cm of the target",
        _object("the mug", "xyzw"),
    ),
    _Task(
        "coffee-push",
        "Push the mug under the coffee machine.",
        "the mug is within 7 cm of the target",
        _object("the mug", "xyzw"),
    ),
    _Task(
        "dial-turn",
        "Turn the dial by half a turn.",
        "the rim point of the dial is within 7 cm of the target",
        _object("the marked rim point of the dial"),
    ),
    _Task(
        "disassemble",
        "Lift the ring off the rod.",
        "the ring is above the top of the rod",
        _object("the handle of the ring"),
    ),
    _Task(
        "door-close",
        "Push the door shut by its handle.",
        "the handle is within 8 cm of the target",
        _object("the door handle", "xyzw"),
    ),
    _Task(
        "door-lock",
        "Turn the lock of the door down.",
        "the lock is within 2 cm of locked",
        _object("the lock"),
    ),
    _Task(
        "door-open",
        "Pull the door open by its handle.",
        "the handle is within 8 cm of the target along x",
        _object("the door handle", "xyzw"),
    ),
    _Task(
        "door-unlock",
        "Turn the lock of the door sideways.",
        "the lock is within 2 cm of unlocked",
        _object("the lock"),
    ),
    _Task(
        "hand-insert",
        "Bring the cube into the hole of the table.",
        "the cube is within 5 cm of the target",
        _object("the cube"),
    ),
    _Task(
        "drawer-close",
        "Push the drawer shut.",
        "the handle is within 6.5 cm of the target",
        _object("the drawer handle", None),
    ),
    _Task(
        "drawer-open",
        "Hook the handle and pull the drawer open.",
        "the handle is within 3 cm of fully open",
        _object("the middle of the drawer handle", stem="handle"),
    ),
    _Task(
        "faucet-open",
        "Turn the handle of the faucet counter-clockwise.",
        "the end of the handle is within 7 cm of the target",
        _object("the end of the faucet handle"),
    ),
    _Task(
        "faucet-close",
        "Turn the handle of the faucet clockwise.",
        "the end of the handle is within 7 cm of the target",
        _object("the end of the faucet handle"),
    ),
    _Task(
        "hammer",
        "Pick up the hammer and drive the nail into the wall.",
        "the nail is driven in by more than 9 cm",
        (_Object("hammer", "the handle of the hammer"), _Object("nail", "the nail")),
    ),
    _Task(
        "handle-press-side",
        "Press the handle down, reaching from the side.",
        "the handle is within 2 cm of fully pressed",
        _object("the handle", None),
    ),
    _Task(
        "handle-press",
        "Press the handle down.",
        "the handle is within 2 cm of fully pressed",
        _object("the handle", None),
    ),
    _Task(
        "handle-pull-side",
        "Pull the handle up, reaching from the side.",
        "the handle is within 8 cm of fully raised",
        _object("the handle", None),
    ),
    _Task(
        "handle-pull",
        "Pull the handle up.",
        "the handle is within 5 cm of fully raised",
        _object("the handle", None),
    ),
    _Task(
        "lever-pull",
        "Pull the lever up by a quarter of a turn.",
        "the lever is within 7.5 degrees of upright",
        _object("the end of the lever", "xyzw"),
    ),
    _Task(
        "pick-place-wall",
        "Pick up the puck and place it at a goal behind a wall.",
        "the puck is within 7 cm of the goal",
        _object("the puck", "xyzw"),
    ),
    _Task(
        "pick-out-of-hole",
        "Lift the puck out of a hole and bring it to the goal.",
        "the puck is within 7 cm of the goal",
        _object("the puck"),
    ),
    _Task(
        "pick-place",
        "Pick up the puck and bring it to a goal in the air.",
        "the puck is within 7 cm of the goal",
        _object("the puck", "xyzw", stem="puck"),
    ),
    _Task(
        "plate-slide",
        "Slide the plate into the cabinet.",
        "the plate is within 7 cm of the goal",
        _object("the plate", "xyzw"),
    ),
    _Task(
        "plate-slide-side",
        "Slide the plate sideways into the cabinet.",
        "the plate is within 7 cm of the goal",
        _object("the plate", "xyzw"),
    ),
    _Task(
        "plate-slide-back",
        "Slide the plate out of the cabinet.",
        "the plate is within 7 cm of the goal",
        _object("the plate", "xyzw"),
    ),
    _Task(
        "plate-slide-back-side",
        "Slide the plate sideways out of the cabinet.",
        "the plate is within 7 cm of the goal",
        _object("the plate", "xyzw"),
    ),
    _Task(
        "peg-insert-side",
        "Pick up the peg and insert it sideways into the hole of the box.",
        "the head of the peg is within 7 cm of the goal in the hole, distances along y and z counted double",
        _object("the grasping point of the peg", "xyzw", stem="peg"),
    ),
    _Task(
        "peg-unplug-side",
        "Pull the peg sideways out of the box.",
        "the end of the peg is within 7 cm of the target",
        _object("the end of the peg"),
    ),
    _Task(
        "soccer",
        "Push the ball into the goal.",
        "the ball is within 7 cm of the target",
        _object("the ball", "xyzw"),
    ),
    _Task(
        "stick-push",
        "Grasp the stick and push the thermos with it.",
        "the thermos is within 12 cm of the target and the stick is still grasped",
        (
            _Object("object", "the stick", "xyzw"),
            _Object("second_object", "the handle of the thermos, moved 9 cm along y", None),
        ),
    ),
    _Task(
        "stick-pull",
        "Grasp the stick, put it through the handle of the thermos and pull the thermos with it.",
        "the handle of the thermos is within 12 cm of the goal and the end of the stick is through it",
        (_Object("stick", "the stick", "xyzw"), _Object("thermos", "the handle of the thermos", None)),
    ),
    _Task(
        "push",
        "Push the puck to the goal.",
        "the puck is within 5 cm of the goal",
        _object("the puck", "xyzw"),
    ),
    _Task(
        "push-wall",
        "Push the puck around a wall to the goal.",
        "the puck is within 7 cm of the goal",
        _object("the puck", "xyzw"),
    ),
    _Task(
        "push-back",
        "Pull the puck back to the goal.",
        "the puck is within 7 cm of the goal",
        _object("the puck", "xyzw"),
        horizon=400,
    ),
    _Task(
        "reach",
        "Bring the hand to the goal.",
        "the fingers are within 5 cm of the goal",
        _object("a puck that plays no part", "xyzw"),
    ),
    _Task(
        "reach-wall",
        "Bring the hand to a goal behind a wall.",
        "the fingers are within 5 cm of the goal",
        _object("a puck that plays no part", "xyzw"),
    ),
    _Task(
        "shelf-place",
        "Pick up the block and place it on the shelf.",
        "the block is within 7 cm of the goal on the shelf",
        _object("the block", "xyzw", stem="block"),
    ),
    _Task(
        "sweep-into",
        "Sweep the cube into the hole of the table.",
        "the cube is within 5 cm of the target",
        _object("the cube", "xyzw"),
    ),
    _Task(
        "sweep",
        "Sweep the cube off the table.",
        "the cube is within 5 cm of the target",
        _object("the cube"),
    ),
    _Task(
        "window-open",
        "Push the window open by its handle.",
        "the handle is within 5 cm of the target",
        _object("the window handle", None),
    ),
    _Task(
        "window-close",
        "Push the window shut by its handle.",
        "the handle is within 5 cm of the target",
        _object("the window handle", None),
    ),
)


def metaworld_tasks() -> list[TaskSpec]:
    """Returns the specifications of all fifty tasks."""
    return [_spec(task) for task in _TASKS]


def metaworld_name(task: TaskSpec) -> str:
    """Returns MetaWorld's own name of a task, e.g. `"peg-insert-side-v3"` for `"MetaWorld/PegInsertSide-v3"`."""
    camel = task.simulator_id.removeprefix("MetaWorld/")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", camel).lower()


def _spec(task: _Task) -> TaskSpec:
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
        note=f"EnvPool is unsound here: {'; '.join(defects)}" if defects else "",
    )


def _frame_fields(objects: tuple[_Object, ...], start: int, prefix: str, suffix: str) -> list[ObservationField]:
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
