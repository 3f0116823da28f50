"""What reaches a student, and what must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task
from expertgen.vision.points import Workspace
from expertgen.vision.randomize import CameraRandomization
from expertgen.vision.rig import CameraRig, select_cameras

NOISY = CameraRandomization(position=0.02, rotation=2.0, depth_noise=0.003, pixel_dropout=0.05, point_dropout=0.1)
TASK = get_task("peg-insert-side")
IDS = np.arange(3)


@pytest.fixture(scope="module")
def env():
    return MetaWorldEnv(TASK, 3)


def rig(env, cameras=("side", "hand"), randomization=NOISY, seed=0, number=128):
    return CameraRig(env, select_cameras(TASK, cameras), randomization, seed, number)


def same(a, b, rows=slice(None)):
    return all(np.array_equal(getattr(a, name)[rows], getattr(b, name)[rows]) for name in vars(a))


def test_shapes(env):
    observation, _ = env.reset(seed=0)
    cameras = rig(env)
    cameras.reset(IDS)
    seen = cameras.look(observation[1:], IDS[1:])
    assert seen.depth.shape == (2, 2, 48, 48)
    assert seen.poses.shape == (2, 2, 3, 4)
    assert seen.points.shape == (2, 128, 3)
    assert seen.proprioception.shape == (2, 4)
    assert {part.dtype for part in vars(seen).values()} == {np.dtype(np.float32)}


def test_privileged_columns_do_not_reach_the_student(env):
    observation, _ = env.reset(seed=0)
    privileged = np.setdiff1d(np.arange(39), TASK.columns("student"))
    poisoned = observation.copy()
    poisoned[:, privileged] = np.nan
    one, other = rig(env), rig(env)
    for cameras in (one, other):
        cameras.reset(IDS)
    assert same(one.look(observation, IDS), other.look(poisoned, IDS))


def test_the_same_seed_sees_the_same_and_another_does_not(env):
    observation, _ = env.reset(seed=0)
    seen = []
    for seed in (0, 0, 1):
        cameras = rig(env, seed=seed)
        cameras.reset(IDS)
        seen.append(cameras.look(observation, IDS))
    assert same(seen[0], seen[1])
    assert not np.array_equal(seen[0].depth, seen[2].depth)


def test_what_one_environment_sees_does_not_depend_on_the_others(env):
    observation, _ = env.reset(seed=0)
    together, alone = rig(env), rig(env)
    together.reset(IDS)
    alone.reset(IDS[2:])
    for _ in range(2):
        a, b = together.look(observation, IDS), alone.look(observation[2:], IDS[2:])
    assert same(a, b, slice(-1, None))


def test_errors_are_kept_within_an_episode_and_drawn_anew_for_the_next(env):
    observation, _ = env.reset(seed=0)
    cameras = rig(env, randomization=CameraRandomization(position=0.02))
    cameras.reset(IDS)
    first, second = cameras.look(observation, IDS).depth, cameras.look(observation, IDS).depth
    np.testing.assert_array_equal(first, second)
    cameras.reset(IDS[:1])
    third = cameras.look(observation, IDS).depth
    assert not np.array_equal(first[0], third[0])
    np.testing.assert_array_equal(first[1:], third[1:])


def test_episodes_can_draw_how_strong_their_noise_is(env):
    observation, _ = env.reset(seed=0)
    strength = 0.01
    noisy, clean = CameraRandomization(depth_noise=strength), CameraRandomization()
    deviations = []
    for seed in range(8):
        cameras = CameraRig(env, select_cameras(TASK, ("side",)), noisy, seed, number=8, vary=True)
        cameras.reset(IDS)
        exact = rig(env, ("side",), clean, number=8)
        exact.reset(IDS)
        error = cameras.look(observation, IDS).depth - exact.look(observation, IDS).depth
        deviations += [float(np.std(one)) for one in error]
    assert max(deviations) < 1.05 * strength
    assert min(deviations) < 0.4 * strength
    assert max(deviations) > 0.6 * strength


def test_points_lie_on_the_peg(env):
    observation, _ = env.reset(seed=3)
    cameras = rig(env, ("front", "side", "hand"), CameraRandomization(), number=2048)
    cameras.reset(IDS)
    seen = cameras.look(observation, IDS)
    for i in IDS:
        geom = env.datas[i].geom("peg")
        local = (seen.points[i] - geom.xpos) @ geom.xmat.reshape(3, 3)
        half = env.models[i].geom("peg").size
        on_peg = np.all(np.abs(local) < half + 3e-3, axis=1)
        assert on_peg.sum() > 20
        np.testing.assert_allclose(np.max(np.abs(local[on_peg]) / half, axis=1), 1.0, atol=0.2)
    assert np.all(seen.points > Workspace().low)
    assert np.all(seen.points < Workspace().high)


def test_all_cameras_see_the_hand_in_the_same_place(env):
    observation, _ = env.reset(seed=0)
    for camera in ("front", "side", "hand"):
        cameras = rig(env, (camera,), CameraRandomization(), number=1024)
        cameras.reset(IDS)
        offset = cameras.look(observation, IDS).points[0] - observation[0, :3]
        fingers = offset[(np.abs(offset) < 0.06).all(axis=1)]
        assert len(fingers) > 10
        assert fingers[:, 2].min() > -0.065  # Finger tips: nothing else is near the hand at the start.


def test_latency_shows_older_pictures(env):
    observation, _ = env.reset(seed=0)
    cameras, prompt = (rig(env, randomization=CameraRandomization(latency=n), seed=5) for n in (2, 0))
    cameras.reset(IDS)
    prompt.reset(IDS)
    delays = [cameras._pictures[i].maxlen - 1 for i in IDS]
    assert max(delays) > 0
    history = []
    for _ in range(4):
        history.append(prompt.look(observation, IDS))
        late = cameras.look(observation, IDS)
        for i, delay in enumerate(delays):
            then = max(0, len(history) - 1 - delay)
            np.testing.assert_array_equal(late.depth[i], history[then].depth[i])
        np.testing.assert_array_equal(late.proprioception, history[-1].proprioception)
        observation, *_ = env.step(np.full((3, 4), 0.7, np.float32))


def test_unknown_cameras_are_refused():
    with pytest.raises(UsageError, match="no camera 'sides'; did you mean 'side'"):
        select_cameras(TASK, ("sides",))


def test_a_student_must_know_where_its_hand_is(env):
    blindfolded = replace(TASK, observation_groups={**TASK.observation_groups, "student": ("gripper_opening",)})
    other = MetaWorldEnv(blindfolded, 1)
    with pytest.raises(UsageError, match="must begin with 'hand_position'"):
        rig(other)
