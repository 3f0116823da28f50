"""The views that a person steers by, and the two ways to draw them: without OpenGL, and with it."""

# MuJoCo's extension modules come without type stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import copy
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from expertgen.errors import UsageError
from expertgen.tasks.metaworld import check_opengl
from expertgen.tasks.spec import CameraSpec
from expertgen.vision.camera import nominal_pose
from expertgen.vision.live import LiveShader
from expertgen.vision.scene import Scene, restore
from expertgen.vision.shading import REPORT_CAMERA

if TYPE_CHECKING:
    import mujoco

WIDTH, HEIGHT = 320, 240
"""Size of the large picture [pixels]; the small one has half of each."""

Renderer = Literal["rays", "opengl"]
"""By ray casting and a z-buffer in NumPy, which works everywhere, or by MuJoCo's renderer."""

_JPEG_QUALITY = 85
_TABLE = (0.0, 0.62, 0.10)


@dataclass(frozen=True)
class View:
    """A camera to steer by.

    Attributes:
        name: what the page calls it.
        camera: where it looks from.
    """

    name: str
    camera: CameraSpec

    def axes(self) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """The axes of the base frame that point right and away from the viewer most nearly, both horizontal."""
        rotation = nominal_pose(self.camera, np.zeros(3)).rotation
        # A camera that looks down sees what is further away at the top of the image.
        away = rotation[:, 2] - rotation[:, 1]
        return _nearest_axis(rotation[:, 0]), _nearest_axis(away)


VIEWS = (
    View("right", CameraSpec("right", (0.95, 0.30, 0.62), (-0.02, 0.63, 0.10), fovy=38.0)),
    View("above", CameraSpec("above", (0.0, 0.60, 1.35), (0.0, 0.6001, 0.0), fovy=40.0)),
    View("side", CameraSpec("side", (1.20, 0.62, 0.30), _TABLE, fovy=28.0)),
    View("front", CameraSpec("front", REPORT_CAMERA.position, REPORT_CAMERA.target, REPORT_CAMERA.fovy)),
)
"""Four views of MetaWorld's table."""


@runtime_checkable
class Artist(Protocol):
    """Draws moments of one simulation. Always called by the same thread."""

    def frame(self, scene: Scene, camera: CameraSpec, mark: np.ndarray | None = None) -> UInt8[np.ndarray, "h w 3"]:
        """Returns one picture, sRGB, of the size that the camera has."""
        ...


def make_artist(renderer: Renderer, model: mujoco.MjModel, data: mujoco.MjData) -> Artist:
    """Returns who draws; to be called by the thread that will draw.

    Args:
        renderer: how to draw.
        model: the simulated model.
        data: a state of it that is up to date, for its lights.

    Raises:
        UsageError: if there is no OpenGL here.
    """
    if renderer == "rays":
        return LiveShader(model)
    return OpenGLArtist(model, data)


def jpeg(picture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Returns a picture as a JPEG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return file.getvalue()


class OpenGLArtist:
    """MuJoCo's own renderer. To be made, used and closed by one thread.

    Args:
        model: the simulated model; it is not changed.
        data: a state of it that is up to date, for its lights.

    Raises:
        UsageError: if there is no OpenGL here.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        import mujoco

        self._model = copy.deepcopy(model)
        self._data = mujoco.MjData(self._model)
        for name in ("light_xpos", "light_xdir"):
            getattr(self._data, name)[:] = getattr(data, name)
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        self._renderer(WIDTH, HEIGHT)

    def frame(self, scene: Scene, camera: CameraSpec, mark: np.ndarray | None = None) -> UInt8[np.ndarray, "h w 3"]:
        """Returns one picture; see `Artist`."""
        import mujoco

        restore(self._data, scene)
        towards = np.subtract(camera.target, camera.position)
        view = mujoco.MjvCamera()
        view.lookat[:] = camera.target
        view.distance = np.linalg.norm(towards)
        view.azimuth = np.degrees(np.arctan2(towards[1], towards[0]))
        view.elevation = np.degrees(np.arcsin(towards[2] / view.distance))
        self._model.vis.global_.fovy = camera.fovy
        renderer = self._renderer(camera.width, camera.height)
        renderer.update_scene(self._data, view, self._option)
        if mark is not None:
            ball = renderer.scene.geoms[renderer.scene.ngeom]
            kind, color = mujoco.mjtGeom.mjGEOM_SPHERE, np.array([0.0, 0.75, 0.5, 0.7], np.float32)
            mujoco.mjv_initGeom(ball, kind, np.full(3, 0.014), np.asarray(mark, float), np.eye(3).ravel(), color)
            renderer.scene.ngeom += 1
        return renderer.render()

    def close(self) -> None:
        """Frees what OpenGL holds."""
        for renderer in self._renderers.values():
            renderer.close()

    def _renderer(self, width: int, height: int) -> mujoco.Renderer:
        import mujoco

        if (width, height) not in self._renderers:
            try:
                check_opengl()
                self._renderers[width, height] = mujoco.Renderer(self._model, height, width)
            except Exception as error:  # each backend fails with an error class of its own
                raise UsageError(
                    "no OpenGL works here: leave --renderer out, or install libosmesa6 and set MUJOCO_GL=osmesa"
                ) from error
        return self._renderers[width, height]


def _nearest_axis(direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    axis = np.argmax(np.abs(direction[:2]))
    return np.sign(direction[axis]) * np.eye(3)[axis]
