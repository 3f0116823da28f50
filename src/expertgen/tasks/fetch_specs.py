"""Fetch: an arm with a gripper on a table, after the tasks of Gymnasium-Robotics, simulated by EnvPool."""

from __future__ import annotations

from expertgen.tasks.spec import ObservationField, TaskSpec

HORIZON = 50
"""The simulator's own time limit [control steps], 2 s."""

_ACTION = "hand: 1 moves the set point by 5 cm per control step along an axis of the world frame; gripper: {gripper}"


def fetch_tasks() -> list[TaskSpec]:
    """Returns the four Fetch tasks. The goal stands at the end of the observation."""
    blocked = "it is blocked, closed, whatever the action"
    moves = "1 opens it and -1 closes it"
    return [
        _fetch("reach", "Reach", "Bring the hand to the goal.", "the hand is within 5 cm of the goal", blocked, False),
        _fetch(
            "push",
            "Push",
            "Push the cube (5 cm wide) over the table to the goal.",
            "the centre of the cube is within 5 cm of the goal",
            blocked,
        ),
        _fetch(
            "slide",
            "Slide",
            "Hit the puck so that it slides over a long, slippery table and comes to the goal, which is out of reach.",
            "the centre of the puck is within 5 cm of the goal",
            blocked,
        ),
        _fetch(
            "pick-and-place",
            "PickAndPlace",
            "Pick up the cube (5 cm wide) and bring it to the goal, on the table or in the air.",
            "the centre of the cube is within 5 cm of the goal",
            moves,
        ),
    ]


def _fetch(name: str, camel: str, description: str, success: str, gripper: str, with_object: bool = True) -> TaskSpec:
    fields = _object_fields() if with_object else _reach_fields()
    return TaskSpec(
        id=f"fetch-{name}",
        simulator="envpool",
        simulator_id=f"Fetch{camel}-v4",
        description=description,
        success=success,
        observation_size=fields[-1].stop,
        action_names=("hand_x", "hand_y", "hand_z", "gripper"),
        action_unit=_ACTION.format(gripper=gripper),
        control_rate=25.0,
        horizon=HORIZON,
        fields=fields,
        observation_groups={
            "expert": tuple(field.name for field in fields),
            "student": ("hand_position", "finger_positions"),
        },
    )


def _hand() -> ObservationField:
    return ObservationField("hand_position", 0, 3, "m", "world", "between the fingertips")


def _fingers(start: int) -> ObservationField:
    return ObservationField("finger_positions", start, start + 2, "m", "joint", "of each finger, 0 closed to 0.05 open")


def _hand_velocity(start: int) -> ObservationField:
    return ObservationField("hand_velocity", start, start + 3, "m per control step", "world", "how fast the hand moves")


def _finger_velocities(start: int) -> ObservationField:
    return ObservationField("finger_velocities", start, start + 2, "m per control step", "joint", "of each finger")


def _goal(start: int) -> ObservationField:
    return ObservationField("goal_position", start, start + 3, "m", "world", "where the object (or the hand) must go")


def _reach_fields() -> tuple[ObservationField, ...]:
    return (_hand(), _fingers(3), _hand_velocity(5), _finger_velocities(8), _goal(10))


def _object_fields() -> tuple[ObservationField, ...]:
    return (
        _hand(),
        ObservationField("object_position", 3, 6, "m", "world", "centre of the object"),
        ObservationField("object_from_hand", 6, 9, "m", "world", "object_position - hand_position"),
        _fingers(9),
        ObservationField("object_rotation", 11, 14, "rad", "world, Euler angles", "orientation of the object"),
        ObservationField(
            "object_velocity_from_hand", 14, 17, "m per control step", "world", "object's velocity less hand_velocity"
        ),
        ObservationField(
            "object_angular_velocity", 17, 20, "rad per control step", "world", "how fast the object turns"
        ),
        _hand_velocity(20),
        _finger_velocities(23),
        _goal(25),
    )
