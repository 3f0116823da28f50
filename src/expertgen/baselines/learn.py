"""Learning a baseline, whichever it is, in the loop of steering and on its budget."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from expertgen.baselines.direct import DirectConfig
from expertgen.baselines.dppo import DppoAgent, DppoConfig
from expertgen.baselines.ibrl import IbrlAgent, IbrlConfig
from expertgen.baselines.learned import ActorOptions, LearnedBaseline, agent_options, make_controller
from expertgen.baselines.residual import ResidualConfig
from expertgen.baselines.self_imitation import SelfImitationAgent, SelfImitationConfig
from expertgen.baselines.tuned import TunedController, TunedPrior
from expertgen.demos.store import DemoSet
from expertgen.errors import UsageError
from expertgen.prior.network import NoiseNetwork
from expertgen.prior.prior import DiffusionPrior
from expertgen.rl.demonstrations import demo_decisions, replay_of
from expertgen.rl.fast_td3 import FastTd3Agent
from expertgen.rl.learner import Learner, Mode, success_reward
from expertgen.rl.loop import LoopConfig, learn
from expertgen.rl.networks import Actor
from expertgen.rl.process import Controller
from expertgen.rl.replay import Replay
from expertgen.rl.sac import SacAgent, SacConfig
from expertgen.runs.progress import StageProgress
from expertgen.runs.seeding import seeded_weights, torch_generator
from expertgen.tasks.spec import TaskSpec

Options = ActorOptions | SelfImitationConfig | DppoConfig

Baseline = LearnedBaseline | TunedPrior


def learn_baseline(
    task: TaskSpec,
    prior: DiffusionPrior,
    options: Options,
    config: LoopConfig,
    seed: int,
    folder: Path,
    device: str = "cpu",
    tensorboard: bool = False,
    demos: DemoSet | None = None,
) -> Generator[StageProgress, None, Baseline]:
    """Learns a baseline and saves the best validated one to `folder/expert.safetensors`.

    Args:
        task: the task; its own simulator is used.
        prior: the prior; it is moved to the device, and stays as it is.
        options: of the baseline; they say how many updates it takes and what share of its batches are demonstrations.
        config: everything else of the loop: the budget is that of steering.
        seed: the run's seed.
        folder: the stage's folder.
        device: torch device.
        tensorboard: also write TensorBoard event files.
        demos: the demonstrations, where the baseline wants them.

    Raises:
        TrainingError: if a loss is not finite; the batch is dumped to `folder/bad_batch.safetensors`.
        UsageError: if demonstrations are wanted and none is given, or none succeeds.
    """
    result = folder / "expert.safetensors"
    if not result.exists():
        learner = _learner(task, prior.to(device), options, seed, device)
        config = loop_of(options, config)
        if config.demo_share:
            learner = replace(learner, demos=_demo_replay(learner, options, demos, seed, device))
        yield from learn(task, learner, config, seed, folder, "baseline", device, tensorboard)
        (folder / "best.safetensors").replace(result)
    (folder / "state.safetensors").unlink(missing_ok=True)
    return load_baseline(result, options).to(device)


def load_baseline(path: Path, options: Options) -> Baseline:
    """Loads what `learn_baseline` saved.

    Args:
        path: the file.
        options: of the baseline; their type says what the file holds.

    Raises:
        FileError: if the file is missing, truncated, of another kind, version or shape.
    """
    return (TunedPrior if isinstance(options, SelfImitationConfig | DppoConfig) else LearnedBaseline).load(path)


def loop_of(options: Options, config: LoopConfig) -> LoopConfig:
    """The loop in which a baseline learns: the one that is given, but for what the baseline says of it itself."""
    match options:
        case ResidualConfig():
            return config.loop(demo_share=0.0, updates_per_decision=options.updates_per_step)
        case DppoConfig():
            return config.loop(demo_share=0.0)
    own = {"demo_share": options.demo_share, "updates_per_decision": options.updates_per_decision}
    if isinstance(options, SelfImitationConfig):
        own |= {"success_share": options.success_share, "success_minimum": options.success_minimum}
    return config.loop(**own)


def _learner(task: TaskSpec, prior: DiffusionPrior, options: Options, seed: int, device: str) -> Learner:
    """The baseline's agent, and what its actions mean."""
    with seeded_weights(seed, "baseline", "weights"):
        if isinstance(options, SelfImitationConfig | DppoConfig):
            return _tuning_learner(task, prior, options, device)
        return _actor_learner(task, prior, options, device)


def _actor_learner(task: TaskSpec, prior: DiffusionPrior, options: ActorOptions, device: str) -> Learner:
    """An actor beside the frozen prior."""

    def controller(generator: torch.Generator) -> Controller:
        return make_controller(options, prior, generator, device)

    def solution(actor: Actor, mode: Mode) -> LearnedBaseline:
        return LearnedBaseline(prior, actor, options, mode, validated=0.0)

    sizes = controller(torch.Generator())
    about = agent_options(options)
    if isinstance(options, IbrlConfig):
        agent = IbrlAgent(prior.observation_size, sizes.action_size, options.sac, torch.Generator(device))
    elif isinstance(about, SacConfig):
        agent = SacAgent(sizes.observation_size, sizes.action_size, about, torch.Generator(device))
    else:
        agent = FastTd3Agent(sizes.observation_size, sizes.action_size, about, torch.Generator(device))
    return Learner(
        agent,
        about.discount,
        n_step=about.n_step,
        rounds=0,
        controller=controller,
        modes=("mean", "sampled") if isinstance(about, SacConfig) else ("mean",),
        solution=solution,
        progressive_share=options.progressive_share if isinstance(options, ResidualConfig) else 0.0,
        begins_as_prior=not isinstance(options, DirectConfig),
        reward=options.reward_of(task) if isinstance(options, DirectConfig) else success_reward,
    )


def _tuning_learner(
    task: TaskSpec, prior: DiffusionPrior, options: SelfImitationConfig | DppoConfig, device: str
) -> Learner:
    """The prior's own network, trained further."""
    generator = torch.Generator(device)
    if isinstance(options, DppoConfig):
        agent = DppoAgent(prior, options, generator)
        kept, discount, n_step, rounds = agent.steps, options.discount, 1, options.rounds
    else:
        agent = SelfImitationAgent(prior, options, generator)
        # Returns look ahead to the end of the episode.
        kept, discount, n_step, rounds = 0, options.discount, -(-task.horizon // prior.noise_shape[0]), 0

    def controller(generator: torch.Generator) -> Controller:
        return TunedController(prior, kept, device)

    def solution(network: NoiseNetwork, mode: Mode) -> TunedPrior:
        return TunedPrior(prior.with_network(network), validated=0.0)

    return Learner(
        agent,
        discount,
        n_step=n_step,
        rounds=rounds,
        controller=controller,
        modes=("sampled",),
        solution=solution,
    )


def _demo_replay(learner: Learner, options: Options, demos: DemoSet | None, seed: int, device: str) -> Replay:
    """Chunks of the demonstrations that succeeded, as experience."""
    if demos is None:
        raise UsageError("the baseline's demo_share needs demonstrations; give some, or set it to 0")
    controller = learner.controller(torch_generator(seed, "baseline", "demos"))
    decisions = demo_decisions(demos, controller.chunk_length)
    seen = controller.observe(decisions.observation.numpy(), np.arange(len(decisions.last)))
    return replay_of(seen, decisions.chunk.flatten(1).to(device), decisions.last)
