"""The other tasks that EnvPool simulates: a dexterous hand (Adroit, sparse rewards) and locomotion (Gym MuJoCo v5)."""

from __future__ import annotations

from expertgen.tasks.spec import ObservationField, TaskSpec

_FINGERS = tuple(
    f"{finger}{joint}"
    for finger, joints in (("FF", 4), ("MF", 4), ("RF", 4), ("LF", 5), ("TH", 5))
    for joint in [f"J{index}" for index in reversed(range(joints))]
)
_WRIST = ("WRJ1", "WRJ0")
_ARM_ROTATION = ("ARRx", "ARRy", "ARRz")


def adroit_tasks() -> list[TaskSpec]:
    """Returns the four Adroit tasks.

    Their horizons are ours: long enough for the human demonstrations of the DAPG project (on average 269 steps for
    the door). Success is what the simulator says at that instant; an episode ends there, while some published numbers
    ask for success over several steps or at the end.
    """
    return [
        _adroit(
            "door",
            "Unlatch the door and pull it open.",
            "the hinge of the door is open by at least 1.35 rad",
            39,
            ("ARTz", *_ARM_ROTATION, *_WRIST, *_FINGERS),
            300,
            _door_fields(),
        ),
        _adroit(
            "hammer",
            "Pick up the hammer and drive the nail into the board.",
            "the nail is within 1 cm of fully driven in",
            46,
            (*_ARM_ROTATION[:2], *_WRIST, *_FINGERS),
            500,
        ),
        _adroit(
            "pen",
            "Turn the pen in the hand to the orientation of the target.",
            "the pen is within 7.5 cm of the target, its direction within a cosine of 0.95",
            45,
            (*_WRIST, *_FINGERS),
            200,
        ),
        _adroit(
            "relocate",
            "Pick up the ball and bring it to the target.",
            "the ball is within 10 cm of the target",
            39,
            ("ARTx", "ARTy", "ARTz", *_ARM_ROTATION, *_WRIST, *_FINGERS),
            500,
            _relocate_fields(),
        ),
    ]


def locomotion_tasks() -> list[TaskSpec]:
    """Returns the Gym MuJoCo v5 tasks: they have no success, their reward is the measure.

    Ant and humanoid also come truncated to positions and velocities, as model-based work has them since MBPO (Janner et
    al. 2019): contact forces are many, mostly zero, and almost impossible to predict.
    """
    rows = (
        ("hopper", "Hopper-v5", "Hop forward on one leg.", 11, 3, 125.0, 1000),
        ("walker2d", "Walker2d-v5", "Walk forward on two legs.", 17, 6, 125.0, 1000),
        ("half-cheetah", "HalfCheetah-v5", "Run forward.", 17, 6, 20.0, 1000),
        ("ant", "Ant-v5", "Walk forward on four legs.", 105, 8, 20.0, 1000),
        ("ant-truncated", "Ant-v5", "Walk forward on four legs, without seeing contact forces.", 27, 8, 20.0, 1000),
        ("humanoid", "Humanoid-v5", "Walk forward without falling.", 348, 17, 66.67, 1000),
        ("humanoid-truncated", "Humanoid-v5", "Walk forward, seeing no inertias and forces.", 45, 17, 66.67, 1000),
        ("inverted-double-pendulum", "InvertedDoublePendulum-v5", "Balance two poles on a cart.", 9, 1, 20.0, 1000),
        ("reacher", "Reacher-v5", "Bring the finger of a two-joint arm to the target.", 10, 2, 50.0, 50),
        ("pusher", "Pusher-v5", "Push a cylinder to the target with a seven-joint arm.", 23, 7, 20.0, 100),
        ("swimmer", "Swimmer-v5", "Swim forward with a three-link snake.", 8, 2, 25.0, 1000),
    )
    return [
        TaskSpec(
            id=name,
            simulator="envpool",
            simulator_id=simulator_id,
            description=description,
            success="",
            observation_size=observation_size,
            action_names=tuple(f"joint_{i}" for i in range(action_size)),
            action_unit="1 is the full range of the actuator",
            control_rate=rate,
            horizon=horizon,
            fields=(_whole(observation_size),),
            observation_groups={"expert": ("state",)},
            truncated_observation=name.endswith("-truncated"),
        )
        for name, simulator_id, description, observation_size, action_size, rate, horizon in rows
    ]


def _whole(size: int) -> ObservationField:
    return ObservationField("state", 0, size, "mixed", "mixed", "the whole state, in the order of the simulator")


def _adroit(
    name: str,
    description: str,
    success: str,
    observation_size: int,
    action_names: tuple[str, ...],
    horizon: int,
    fields: tuple[ObservationField, ...] = (),
) -> TaskSpec:
    fields = fields or (_whole(observation_size),)
    groups = {"expert": tuple(field.name for field in fields)}
    if name == "door":
        groups["student"] = ("hand_joints", "palm_position")
    return TaskSpec(
        id=f"adroit-{name}",
        simulator="envpool",
        simulator_id=f"AdroitHand{name.capitalize()}Sparse-v1",
        description=description,
        success=success,
        observation_size=observation_size,
        action_names=action_names,
        action_unit="target position of the joint; -1 and 1 are the ends of its range",
        control_rate=100.0,
        horizon=horizon,
        fields=fields,
        observation_groups=groups,
    )


def _door_fields() -> tuple[ObservationField, ...]:
    return (
        ObservationField("hand_joints", 0, 27, "rad", "joint", "arm rotation (3), wrist (2) and fingers (22)"),
        ObservationField("latch_angle", 27, 28, "rad", "joint", "angle of the latch"),
        ObservationField("door_angle", 28, 29, "rad", "joint", "angle of the hinge of the door, 0 when shut"),
        ObservationField("palm_position", 29, 32, "m", "world", "centre of the palm"),
        ObservationField("handle_position", 32, 35, "m", "world", "the door handle"),
        ObservationField("palm_to_handle", 35, 38, "m", "world", "palm_position - handle_position"),
        ObservationField("door_is_open", 38, 39, "1", "", "1 if the door is open, else -1"),
    )


def _relocate_fields() -> tuple[ObservationField, ...]:
    joints = (
        "in the order of the action: ARTx, ARTy, ARTz move the arm [m], ARRx, ARRy, ARRz turn it, WRJ1 and WRJ0 are "
        "the wrist; FF, MF, RF, LF are the fingers from index to little, J3 sideways, J2 to J0 flexion from knuckle to "
        "tip (LFJ4 folds the palm); TH is the thumb, J4 turns it, J3 to J0 from its root to its tip"
    )
    return (
        ObservationField("hand_joints", 0, 30, "m, rad", "joint", joints),
        ObservationField("palm_from_ball", 30, 33, "m", "world", "centre of the palm - centre of the ball"),
        ObservationField("palm_from_target", 33, 36, "m", "world", "centre of the palm - target"),
        ObservationField("ball_from_target", 36, 39, "m", "world", "centre of the ball - target"),
    )
