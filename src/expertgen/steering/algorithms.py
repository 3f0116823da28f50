"""The algorithms by name: what a configuration needs to become an agent that chooses noise, or only its actor."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor

from expertgen.prior.prior import DiffusionPrior
from expertgen.rl.fast_td3 import FastTd3Agent, FastTd3Config
from expertgen.rl.learner import Agent
from expertgen.rl.networks import (
    Actor,
    BestOfActor,
    CriticEnsemble,
    GaussianActor,
    TanhActor,
    TanhGaussianActor,
)
from expertgen.rl.ppo import PpoAgent, PpoConfig
from expertgen.rl.sac import SacAgent, SacConfig
from expertgen.steering.aliasing import AliasingAgent, AliasingConfig
from expertgen.steering.noise import NoiseController, NoiseSpace

Algorithm = Literal["sac", "fast-td3", "aliasing", "ppo"]

AgentConfig = SacConfig | FastTd3Config | AliasingConfig | PpoConfig

CONFIGS: dict[Algorithm, type[AgentConfig]] = {
    "sac": SacConfig,
    "fast-td3": FastTd3Config,
    "aliasing": AliasingConfig,
    "ppo": PpoConfig,
}


def make_agent(
    config: AgentConfig, prior: DiffusionPrior, space: NoiseSpace, generator: torch.Generator
) -> SacAgent | FastTd3Agent | AliasingAgent | PpoAgent:
    """The agent of a configuration.

    Args:
        config: its options; their type says which algorithm.
        prior: whose noise it chooses.
        space: which noises there are.
        generator: source of every random number it draws (its device is the agent's).
    """
    sizes = (prior.observation_size, space.action_size(prior.noise_shape))
    match config:
        case SacConfig():
            return SacAgent(*sizes, config, generator)
        case FastTd3Config():
            return FastTd3Agent(*sizes, config, generator)
        case PpoConfig():
            return PpoAgent(*sizes, config, generator)
        case AliasingConfig():

            def generate(seen: Tensor, action: Tensor) -> Tensor:
                return prior.decode_normalized(seen, space.noise(action, prior.noise_shape)).flatten(1)

            horizon, action_size = prior.noise_shape
            draw = NoiseController(prior, space).warm_up
            return AliasingAgent(*sizes, horizon * action_size, config, generate, draw, generator)


def best_of(agent: Agent, actor: Actor, draws: int) -> BestOfActor:
    """An actor that asks the agent's critics of noise which of several noises to take.

    Args:
        agent: soft actor-critic or noise aliasing.
        actor: who draws the noises.
        draws: how many.
    """
    assert isinstance(agent, SacAgent | AliasingAgent)
    critic = agent.target_critic if isinstance(agent, SacAgent) else agent.noise_critic
    return BestOfActor(actor, copy.deepcopy(critic).requires_grad_(False), draws)


def make_actor(config: AgentConfig, observation_size: int, action_size: int, draws: int = 1) -> Actor:
    """The actor of such an agent, to be filled from a file.

    Args:
        config: options of the agent.
        observation_size: D.
        action_size: A'.
        draws: noises that it takes the best of.
    """
    if isinstance(config, AliasingConfig):
        config = config.sac
    if draws > 1:
        assert isinstance(config, SacConfig)
        critic = CriticEnsemble(config.critics, observation_size, action_size, config.width, config.depth)
        return BestOfActor(make_actor(config, observation_size, action_size), critic, draws)
    sizes = (observation_size, action_size, config.width, config.depth)
    match config:
        case SacConfig():
            return TanhGaussianActor(*sizes)
        case FastTd3Config():
            return TanhActor(*sizes)
        case PpoConfig():
            return GaussianActor(*sizes, config.deviation)
