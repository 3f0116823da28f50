"""The algorithms by name: what a configuration needs to become an agent, or only its actor."""

from __future__ import annotations

from typing import Literal

import torch

from expertgen.rl.fast_td3 import FastTd3Agent, FastTd3Config
from expertgen.rl.networks import Actor, GaussianActor, TanhActor, TanhGaussianActor
from expertgen.rl.ppo import PpoAgent, PpoConfig
from expertgen.rl.sac import SacAgent, SacConfig

Algorithm = Literal["sac", "fast-td3", "ppo"]

AgentConfig = SacConfig | FastTd3Config | PpoConfig

CONFIGS: dict[Algorithm, type[AgentConfig]] = {"sac": SacConfig, "fast-td3": FastTd3Config, "ppo": PpoConfig}


def make_agent(
    config: AgentConfig, observation_size: int, action_size: int, generator: torch.Generator
) -> SacAgent | FastTd3Agent | PpoAgent:
    """The agent of a configuration.

    Args:
        config: its options; their type says which algorithm.
        observation_size: D.
        action_size: A.
        generator: source of every random number it draws (its device is the agent's).
    """
    match config:
        case SacConfig():
            return SacAgent(observation_size, action_size, config, generator)
        case FastTd3Config():
            return FastTd3Agent(observation_size, action_size, config, generator)
        case PpoConfig():
            return PpoAgent(observation_size, action_size, config, generator)


def make_actor(config: AgentConfig, observation_size: int, action_size: int) -> Actor:
    """The actor of such an agent, to be filled from a file."""
    sizes = (observation_size, action_size, config.width, config.depth)
    match config:
        case SacConfig():
            return TanhGaussianActor(*sizes)
        case FastTd3Config():
            return TanhActor(*sizes)
        case PpoConfig():
            return GaussianActor(*sizes, config.deviation)
