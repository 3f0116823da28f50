"""Tasks in Python MetaWorld: slower than EnvPool, but cameras can see its bodies, and it is the reference."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's bindings are compiled and carry no types.)

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from expertgen.errors import UsageError
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.episodes import Episodes, StepResult
from expertgen.tasks.metaworld_fast import fast_frame, fast_touching
from expertgen.tasks.metaworld_specs import metaworld_name
from expertgen.tasks.spec import CameraSpec, TaskSpec

if TYPE_CHECKING:
    from mujoco import MjData, MjModel

_HAND_STEPS = 50
"""Control steps in which MetaWorld brings the hand to its start at every reset."""

_SETTLES_ON_MOVED_BODY = frozenset(
    {
        "box-close-v3",
        "disassemble-v3",
        "door-lock-v3",
        "door-unlock-v3",
        "handle-press-side-v3",
        "handle-press-v3",
        "handle-pull-side-v3",
        "handle-pull-v3",
        "peg-unplug-side-v3",
    }
)
"""Tasks whose object comes to rest on the randomly placed body while the hand moves: nothing to cache there."""


_NO_OPENGL = (
    "no OpenGL backend works here: install libosmesa6 and set MUJOCO_GL=osmesa, or use the cameras by ray casting"
)


class MetaWorldEnv(TaskEnv):
    """`N` Python MetaWorld environments in this process, stepped one after the other.

    The rules of the task (observation, reward, success, random starts) are MetaWorld's own code. Ours are four things:

    - the goal is visible (columns 36:39), as in EnvPool's fully observable variant;
    - all environments share one compiled model. It is 26 MB, and the episodes differ in nothing but the positions of
      a few bodies and sites, which are written into it before an environment is touched;
    - a reset takes 0.5 ms instead of 10 ms: MetaWorld brings the hand to its start in 50 control steps, twice. We do
      49 of them once and keep that state. Except for the tasks where an object settles meanwhile, which run them all;
    - environment `i` draws its starts from a generator of its own, seeded with `[seed, first_index + i]`.

    The first three change no bit of what MetaWorld's own `reset` and `step` return for the same random vector. One
    thing differs on purpose: every episode starts from the pristine model, so nothing of an episode leaks into the
    next.

    Args:
        task: a task whose `simulator_id` begins with `"MetaWorld/"`.
        num_envs: number of environments `N`.
        first_index: index of the first environment, where several processes share the work.

    Attributes:
        models: `N` references to the one shared model. Geometry may be read at any time; positions of bodies are to
            be read from `datas`. Do not run `mj_forward` on it (it may hold the body positions of another
            environment).
        datas: one `MjData` per environment; all positions in it are up to date after every reset and step.

    Raises:
        UsageError: if MetaWorld is not installed or the task is not one of its own.
    """

    models: list[MjModel]
    datas: list[MjData]

    def __init__(self, task: TaskSpec, num_envs: int, first_index: int = 0) -> None:
        super().__init__(task, num_envs)
        self._episodes = Episodes(task, num_envs)
        self._first_index = first_index
        start = _Start(task)
        self._worlds = [_World(start) for _ in range(num_envs)]
        self.models = [start.model] * num_envs
        self.datas = [world.data for world in self._worlds]
        self._seed(None)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts new episodes; see `TaskEnv.reset`. Without a seed, the first reset takes one from the system."""
        ids = self._episodes.to_reset(seed, options)
        if seed is not None:
            self._seed(seed)
        if len(ids):
            self._episodes.begin(ids, np.stack([self._worlds[i].reset() for i in ids]))
        return self._episodes.reset_result()

    def step(self, actions: np.ndarray) -> StepResult:
        """Runs one control step in every environment whose episode has not ended; see `TaskEnv.step`."""
        ids = self._episodes.running()
        if len(ids):
            rows = self._episodes.actions(actions, ids)
            observations, rewards, successes = zip(
                *(self._worlds[i].step(row) for i, row in zip(ids, rows, strict=True)), strict=True
            )
            never = np.zeros(len(ids), bool)
            self._episodes.record(ids, np.stack(observations), np.array(rewards), np.array(successes), never)
        return self._episodes.step_result()

    def starts(self) -> list[np.ndarray]:
        """Returns the random vector that MetaWorld drew for the current episode of each environment."""
        return [world.start_vector for world in self._worlds]

    def reset_to(self, vectors: list[np.ndarray]) -> np.ndarray:
        """Starts new episodes in all environments at given random vectors, e.g. those of `starts`.

        Returns:
            observation `[N, 39]`.

        Raises:
            UsageError: if the task does not accept a vector (MetaWorld draws again where object and goal are too
                close).
        """
        self._episodes.begin(
            np.arange(self.num_envs),
            np.stack([world.reset(vector) for world, vector in zip(self._worlds, vectors, strict=True)]),
        )
        return self._episodes.reset_result()[0]

    def render(
        self, env_index: int = 0, camera: str = "side", width: int = 480, height: int = 480
    ) -> tuple[np.ndarray, ...]:
        """Renders one colour image with MuJoCo's OpenGL renderer.

        Args:
            env_index: which environment.
            camera: name of one of the task's cameras.
            width: columns [pixels].
            height: rows [pixels].

        Returns:
            a tuple with one uint8 array `[height, width, 3]`.

        Raises:
            UsageError: if this machine has no working OpenGL backend, or the task no such camera.
        """
        by_name = {spec.name: spec for spec in self.task.cameras}
        if camera not in by_name:
            raise UsageError(f"task {self.task.id!r} has no camera {camera!r}; it has {sorted(by_name)}")
        return (_render(self.models[env_index], self.datas[env_index], by_name[camera], width, height),)

    def _seed(self, seed: int | None) -> None:
        for i, world in enumerate(self._worlds):
            words = None if seed is None else [seed, self._first_index + i]
            world.seed(np.random.SeedSequence(words))


class _Start:
    """What all environments of a task share: one compiled model and the state just before the hand reaches its start.

    Attributes:
        model: the shared `MjModel`.
        body_pos: `[nbody, 3]` of the pristine model.
        site_pos: `[nsite, 3]` of the pristine model.
    """

    def __init__(self, task: TaskSpec) -> None:
        try:
            import mujoco
            from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        except ImportError as error:
            raise UsageError(f"MetaWorld is not installed ({error}): pip install 'expertgen[vision]'") from error
        name = metaworld_name(task)
        if name not in ALL_V3_ENVIRONMENTS:
            raise UsageError(f"task {task.id!r} ({task.simulator_id}) is not a MetaWorld task")
        self._mujoco = mujoco
        self._prototype = ALL_V3_ENVIRONMENTS[name]()
        self._prototype._partially_observable = False
        # The bounds were computed, and cached, while the goal was still hidden; step() would clip the goal to zero.
        self._prototype.__dict__.pop("sawyer_observation_space", None)
        self._prototype._set_task_called = True
        self._prototype._freeze_rand_vec = False
        self._prototype.seeded_rand_vec = True
        self._prototype.max_path_length = np.iinfo(np.int64).max
        self.model: MjModel = self._prototype.model
        self.body_pos = self.model.body_pos.copy()
        self.site_pos = self.model.site_pos.copy()
        self._reset_hand = type(self._prototype)._reset_hand
        self._settles = name in _SETTLES_ON_MOVED_BODY
        mujoco.mj_resetData(self.model, self._prototype.data)
        self._reset_hand(self._prototype, _HAND_STEPS - 1)
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        self._almost_there = np.zeros(mujoco.mj_stateSize(self.model, kind))
        mujoco.mj_getState(self.model, self._prototype.data, self._almost_there, kind)

    def new_environment(self) -> Any:
        """Returns a MetaWorld environment that shares the model and has its own data."""
        environment = object.__new__(type(self._prototype))
        shared = {"model": self.model, "data": self._mujoco.MjData(self.model), "mujoco_renderer": None}
        own = {key: value for key, value in vars(self._prototype).items() if key not in shared}
        vars(environment).update(copy.deepcopy(own), **shared)
        environment.init_left_pad = environment.get_body_com("leftpad")
        environment.init_right_pad = environment.get_body_com("rightpad")
        environment._get_curr_obs_combined_no_goal = fast_frame(environment)
        environment.touching_object = fast_touching(environment)
        return environment

    def run_reset(self, environment: Any, vector: np.ndarray | None, all_hand_steps: bool) -> np.ndarray:
        """Runs MetaWorld's `reset_model` on cleared data at `vector`, or at a drawn one; returns `[39]`."""
        self._mujoco.mj_resetData(self.model, environment.data)
        environment._reset_hand = lambda: self._bring_hand(environment, all_hand_steps and self._settles)
        if vector is not None:
            environment._last_rand_vec = vector.copy()
            environment._get_state_rand_vec = _once(environment._last_rand_vec)
        try:
            return environment.reset_model()
        finally:
            del environment._reset_hand
            vars(environment).pop("_get_state_rand_vec", None)

    def update_positions(self, environment: Any) -> None:
        """Brings positions up to date: MetaWorld moves bodies after its last `mj_forward`.

        A whole `mj_forward` would also move the solver's warm start, and with it the last bits of the next step.
        """
        for update in (self._mujoco.mj_kinematics, self._mujoco.mj_comPos, self._mujoco.mj_camlight):
            update(self.model, environment.data)

    def _bring_hand(self, environment: Any, all_steps: bool) -> None:
        if all_steps:
            self._reset_hand(environment, _HAND_STEPS)
        else:
            kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
            self._mujoco.mj_setState(self.model, environment.data, self._almost_there, kind)
            self._reset_hand(environment, 1)


def _once(vector: np.ndarray) -> Callable[[], np.ndarray]:
    """Returns a stand-in for MetaWorld's draw: where it rejects the vector it would ask again for ever."""
    draws = iter([vector])

    def draw() -> np.ndarray:
        for drawn in draws:
            return drawn
        raise UsageError(f"start vector {vector.tolist()} is not one that MetaWorld accepts for this task")

    return draw


class _World:
    """One environment: MetaWorld's rules, its own data, its own positions of bodies and sites in the shared model."""

    def __init__(self, start: _Start) -> None:
        self._start = start
        self._environment = start.new_environment()
        self._body_pos = start.body_pos.copy()
        self._site_pos = start.site_pos.copy()
        self.data: MjData = self._environment.data

    @property
    def start_vector(self) -> np.ndarray:
        """The random vector of the current episode."""
        return self._environment._last_rand_vec.copy()

    def seed(self, seed: np.random.SeedSequence) -> None:
        """Starts the stream of random starts afresh."""
        self._environment.np_random = np.random.default_rng(seed)

    def reset(self, vector: np.ndarray | None = None) -> np.ndarray:
        """Starts an episode at `vector`, or at a new random one; returns the observation `[39]`.

        MetaWorld resets twice, and has to: tasks read positions that only the second pass finds where the first one
        moved them. Both passes must use the same vector.
        """
        environment = self._environment
        self._write_positions(self._start.body_pos, self._start.site_pos)
        self._start.run_reset(environment, vector, all_hand_steps=False)
        observation = self._start.run_reset(environment, environment._last_rand_vec, all_hand_steps=True)
        environment.curr_path_length = 0
        environment._prev_obs = observation[:18].copy()
        observation[18:36] = observation[:18]
        self._body_pos = self._start.model.body_pos.copy()
        self._site_pos = self._start.model.site_pos.copy()
        self._start.update_positions(environment)
        return observation

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """Runs one control step; returns observation `[39]`, reward and success."""
        self._write_positions(self._body_pos, self._site_pos)
        observation, reward, _, _, info = self._environment.step(action)
        return observation, float(reward), bool(info["success"])

    def _write_positions(self, body_pos: np.ndarray, site_pos: np.ndarray) -> None:
        self._start.model.body_pos[:] = body_pos
        self._start.model.site_pos[:] = site_pos


def check_opengl() -> None:
    """Refuses to draw where no backend was chosen and there is no display: MuJoCo's default would end the process.

    Raises:
        UsageError: if so.
    """
    chosen = os.environ.get("MUJOCO_GL") in ("egl", "osmesa")
    if not chosen and sys.platform == "linux" and not os.environ.get("DISPLAY"):
        raise UsageError(_NO_OPENGL)


def _render(model: MjModel, data: MjData, camera: CameraSpec, width: int, height: int) -> np.ndarray:
    import mujoco

    offset = data.body("hand").xpos if camera.mount == "hand" else np.zeros(3)
    towards = np.subtract(camera.target, camera.position)
    distance = float(np.linalg.norm(towards))
    view = mujoco.MjvCamera()
    view.lookat[:] = np.add(camera.target, offset)
    view.distance = distance
    view.azimuth = float(np.degrees(np.arctan2(towards[1], towards[0])))
    view.elevation = float(np.degrees(np.arcsin(towards[2] / distance)))
    model.vis.global_.fovy = camera.fovy
    model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
    model.vis.global_.offheight = max(height, model.vis.global_.offheight)
    check_opengl()
    try:
        renderer = mujoco.Renderer(model, height, width)
    except Exception as error:  # each backend fails with an error class of its own
        raise UsageError(_NO_OPENGL) from error
    with renderer:
        renderer.update_scene(data, view)
        return renderer.render()
