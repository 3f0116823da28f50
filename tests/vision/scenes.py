"""Small scenes whose pictures can be computed by hand."""

from __future__ import annotations

import mujoco

from expertgen.tasks.spec import CameraSpec

TABLE = """
<mujoco>
  <worldbody>
    <geom name="table" type="plane" size="2 2 0.1" rgba="0.2 0.2 0.8 1"/>
    <body name="block" pos="0.1 0.6 0.05">
      <geom name="block" type="box" size="0.05 0.05 0.05" rgba="0.8 0.1 0.1 1"/>
    </body>
    <body name="hand" pos="0 0.6 0.3">
      <geom name="hand" type="sphere" size="0.02" rgba="0.1 0.8 0.1 1"/>
    </body>
    <body name="ghost" pos="0.1 0.6 0.2">
      <geom name="ghost" type="box" size="0.1 0.1 0.01" rgba="1 1 1 0"/>
    </body>
  </worldbody>
</mujoco>
"""
"""A plane z = 0, a 10 cm block on it with its top at z = 0.1 over (0.1, 0.6), a hand at 0.3, something invisible."""

SLANTED = CameraSpec("slanted", (0.8, 0.2, 0.7), (0.05, 0.6, 0.05), fovy=50, width=40, height=30)
"""A camera that sees all of it."""


def scene(xml: str = TABLE) -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data
