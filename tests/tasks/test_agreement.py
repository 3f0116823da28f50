"""The two simulators of MetaWorld, against each other: same start, same actions, same transitions."""

import numpy as np
import pytest

from expertgen.errors import UsageError
from expertgen.tasks.agreement import compare_simulators, match_start
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task

pytest.importorskip("metaworld", reason="needs the extra 'vision'")


@pytest.mark.parametrize(
    ("name", "tolerance"), [("assembly", 1e-6), ("door-open", 1e-6), ("peg-insert-side", 2e-3), ("stick-pull", 2e-3)]
)
def test_transitions_agree(name, tolerance):
    """Contact amplifies the last bits; without contact, fifty steps agree to rounding."""
    agreement = compare_simulators(get_task(name), episodes=3, steps=50)
    assert agreement.episodes == 3
    assert agreement.start < 1e-6
    assert agreement.first_step < 1e-5
    assert agreement.last_step < tolerance
    assert agreement.reward < tolerance


def test_a_start_is_found_from_its_observation():
    env = MetaWorldEnv(get_task("peg-insert-side"), 1)
    observation, _ = env.reset(seed=3)
    vector = env.starts()[0]
    free = [0, 1, 3, 4]  # the height of the peg is fixed
    np.testing.assert_allclose(match_start(env, observation[0])[free], vector[free], atol=1e-6)


def test_a_start_that_cannot_be_is_refused():
    env = MetaWorldEnv(get_task("peg-insert-side"), 1)
    observation, _ = env.reset(seed=3)
    observation[0, 36:38] = observation[0, 4:6]  # the hole where the peg is
    with pytest.raises(UsageError, match="not one that MetaWorld accepts"):
        match_start(env, observation[0])
