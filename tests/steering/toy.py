"""A steerable toy for the tests of this layer: a prior of demonstrators who see the goal in a wrong place."""

from dataclasses import replace
from pathlib import Path

from expertgen.prior.prior import DiffusionPrior, PriorConfig
from expertgen.prior.training import train_prior
from expertgen.rl.fast_td3 import FastTd3Config
from expertgen.rl.ppo import PpoConfig
from expertgen.rl.sac import SacConfig
from expertgen.runs.progress import drain
from expertgen.steering.aliasing import AliasingConfig
from expertgen.steering.steer import SteerConfig
from tests.toys import point_demos, point_task

TASK = replace(point_task(), simulator="tests.toys:make_point_env")

STEER = SteerConfig(
    num_envs=32,
    env_steps=16_000,
    segment_env_steps=5_000,
    warmup_env_steps=2_000,
    batch_size=64,
    success_minimum=50,
    validate_from=0.0,
    validation_episodes=64,
    sac=SacConfig(width=32, depth=2, learning_rate=2e-3, average_rate=0.01, discount=0.992),
    fast_td3=FastTd3Config(width=32, depth=2, learning_rate=2e-3, average_rate=0.02, discount=0.992),
    aliasing=AliasingConfig(SacConfig(width=32, depth=2, learning_rate=2e-3, average_rate=0.01, discount=0.992)),
    ppo=PpoConfig(width=32, depth=2, learning_rate=2e-3, batch_size=64, rounds=8, critic_updates=0, discount=0.992),
)
"""Learns in seconds."""

TINY = replace(
    STEER,
    num_envs=8,
    env_steps=1_200,
    segment_env_steps=400,
    warmup_env_steps=200,
    validation_episodes=8,
    batch_size=16,
)
"""Does everything once or twice and learns nothing."""


def train_toy_prior(folder: Path, iterations: int = 600) -> DiffusionPrior:
    """The prior, in two seconds; it succeeds two times out of five."""
    config = PriorConfig(
        chunk_length=4,
        levels=10,
        sampler_steps=3,
        width=32,
        depth=2,
        iterations=iterations,
        learning_rate=2e-3,
        ema_rate=0.02,
    )
    return drain(train_prior(point_demos(64, 0, offset=0.2), config, 0, folder))
