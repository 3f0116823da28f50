"""The published contract test: it accepts a sound environment and names the broken promise of each unsound one."""

from dataclasses import replace

import numpy as np
import pytest

from expertgen.tasks.conformance import check_environment
from tests.toys import PointEnv, point_task

TASK = point_task(horizon=12)


def sound(**changes):
    return lambda: PointEnv(3, task=replace(TASK, **changes))


def broken(name, method):
    """A `PointEnv` with one method replaced; `method(env, original, *args)`."""

    class Broken(PointEnv):
        pass

    original = getattr(PointEnv, name)
    setattr(Broken, name, lambda self, *args, **kwargs: method(self, original, *args, **kwargs))
    return lambda: Broken(3, task=TASK)


def step_changing(change):
    def step(env, original, actions):
        return change(env, *original(env, actions))

    return broken("step", step)


def test_a_sound_environment_passes():
    check_environment(sound())


def test_a_sound_environment_that_succeeds_often_passes():
    check_environment(lambda: PointEnv(8, radius=0.5, task=TASK))


def wake(env, original, *, seed=None, options=None):
    """Resets everything, whatever the mask."""
    return original(env, seed=seed)


def shared_stream(env, original, *, seed=None, options=None):
    info = original(env, seed=seed, options=options)[1]
    if options is None:
        env._observation[:] = env._observation[0]
    return env._observation.copy(), info


def late(env, original, actions):
    """One step too many before the time limit."""
    horizon, env.task = env.task, replace(env.task, horizon=env.task.horizon + 1)
    result = original(env, actions)
    env.task = horizon
    return result


def unseeded(env, original, *, seed=None, options=None):
    return original(env, seed=None if seed is None else int(np.random.default_rng().integers(2**31)), options=options)


DEFECTS = {
    "float64, not float32": step_changing(lambda env, o, *rest: (o.astype(np.float64), *rest)),
    "has the shape": step_changing(lambda env, o, *rest: (o[:, :3], *rest)),
    "not finite": step_changing(lambda env, o, *rest: (o * np.nan, *rest)),
    "reward has the shape": step_changing(lambda env, o, r, *rest: (o, r[:, None], *rest)),
    "success.* is not a bool array": step_changing(lambda env, o, r, te, tr, info: (o, r, te, tr, {})),
    "was not asked for changed": broken("reset", wake),
    "they need a random stream each": broken("reset", shared_stream),
    "same seed does not give the same bits": broken("reset", unseeded),
    "different seeds give the same starts": broken(
        "reset", lambda env, f, seed=None, options=None: f(env, seed=None if seed is None else 0, options=options)
    ),
    "not truncated after 12 steps": broken("step", late),
    "terminated and truncated at once": step_changing(lambda env, o, r, te, tr, i: (o, r, te | tr, tr, i)),
    "success without terminated": step_changing(lambda env, o, r, te, tr, i: (o, r, te, tr, {"success": ~te & ~tr})),
    "gave a reward": step_changing(lambda env, o, r, *rest: (o, r - 1.0, *rest)),
    "AutoresetMode.DISABLED": lambda: with_metadata(PointEnv(3, task=TASK)),
}


def with_metadata(env):
    env.metadata = {}
    return env


@pytest.mark.parametrize("promise", DEFECTS)
def test_the_broken_promise_is_named(promise):
    with pytest.raises(AssertionError, match=promise):
        check_environment(DEFECTS[promise])


def test_an_environment_that_runs_on_after_success_is_caught():
    class Restless(PointEnv):
        def step(self, actions):
            self._success[:] = False
            return super().step(actions)

    with pytest.raises(AssertionError, match="had ended"):
        check_environment(lambda: Restless(8, radius=0.8, task=TASK))


def test_an_environment_that_forgets_its_flags_is_caught():
    class Forgetful(PointEnv):
        def step(self, actions):
            forgets = (self._success | self._truncated).all()
            observation, reward, terminated, truncated, info = super().step(actions)
            return observation, reward, terminated & ~forgets, truncated & ~forgets, info

    with pytest.raises(AssertionError, match="did not repeat its flags"):
        check_environment(lambda: Forgetful(3, radius=0.0, task=TASK))


def test_step_must_not_write_into_what_reset_returned():
    class Aliased(PointEnv):
        def reset(self, **arguments):
            _, info = super().reset(**arguments)
            return self._observation, info

    with pytest.raises(AssertionError, match="return copies"):
        check_environment(lambda: Aliased(3, task=TASK))
