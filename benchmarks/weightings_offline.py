"""Do weights lower the world model's error on what the *next* policy experiences? On recorded streams, so all else is equal.

    python benchmarks/weightings_offline.py record --task hopper --steps 20000 --out runs/streams
    python benchmarks/weightings_offline.py replay --stream runs/streams/hopper-0

`record` runs MBPO with uniform weights and keeps the policy after every epoch and all transitions. `replay` gives one
such stream to a world model, epoch by epoch, as the loop does: first it is measured on the new transitions, then all are
weighed for the policy of that moment, then it learns. Weightings differ in their weights, and seeds in the model's
initial weights, holdout, batches and the weighting's networks. Adds its rows to `weightings_offline.csv`.
"""  # noqa: E501

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import torch
import tyro
from rows import append_row, plain_refusals, read_rows
from torch import Tensor

from expertgen.dynamics.model import ModelConfig
from expertgen.dynamics.transitions import Transitions
from expertgen.dynamics.weighting.interface import Limits, Policy, Weighting
from expertgen.mbrl.run import MbrlConfig, default_settings, make_parts, run_mbrl
from expertgen.mbrl.weightings import WeightingName, value_gradient_objective
from expertgen.runs.checkpoint import load_checkpoint, save_checkpoint, with_prefix, without_prefix
from expertgen.runs.machine import prepare_process
from expertgen.runs.progress import drain
from expertgen.runs.seeding import derive_seed, torch_generator
from expertgen.tasks.registry import get_task

TABLE = Path(__file__).with_suffix(".csv")
KEYS = ("stream", "ensemble", "width", "mix", "weighting", "seed")
MEASURES = ("error_newest", "error_newest_5_steps", "error_buffer", "weights_effective_sample_size")


@dataclass(frozen=True)
class Record:
    """Records a stream of transitions and policies."""

    task: str
    """Task id."""
    steps: int
    """Steps in the environment."""
    seed: int = 0
    """Seed of the run."""
    out: Path = Path("runs/streams")
    """Folder of the stream's own folder."""


@dataclass(frozen=True)
class Replay:
    """Replays a stream for every weighting and seed that the table lacks."""

    stream: Path
    """Folder of a stream."""
    weightings: tuple[WeightingName, ...] = tuple(name for name in get_args(WeightingName) if name != "vagram")
    """Which."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of the model's training."""
    width: int = 128
    """Hidden width of the model: 3 members of 3 layers, all elites."""
    ensemble: Literal["gaussian", "deterministic"] = "gaussian"
    """What members of the model predict; `vagram` needs points."""
    mix: float = 0.5
    """Share of the weighting (`pmer`, `discriminator`, `tom-*`); the rest is uniform."""
    shuffled: bool = False
    """Deal the same weights to transitions at random: what uneven weights cost where they mean nothing."""


Command = Annotated[Record, tyro.conf.subcommand("record")] | Annotated[Replay, tyro.conf.subcommand("replay")]


def record(options: Record) -> None:
    """Keeps each saved state's agent, and the buffer of the last one."""
    config = default_settings(options.task)
    config = replace(config, seed=options.seed, mbpo=replace(config.mbpo, env_steps=options.steps), final_episodes=1)
    folder = options.out / f"{config.task}-{config.seed}"
    kept, buffer = 0, {}
    for _ in run_mbrl(config, folder / "run", "benchmarks/weightings_offline.py record"):
        path = folder / "run" / "state.safetensors"
        if not path.exists():
            continue
        tensors, counters = load_checkpoint(path, "mbrl-state", 1)
        if counters["segments"] > kept:
            kept, buffer = counters["segments"], without_prefix("learner.buffer", tensors)
            snapshot = with_prefix("agent", without_prefix("agent", tensors))
            about = {"task": config.task, "seed": config.seed, "rows": len(buffer["reward"])}
            save_checkpoint(folder / f"agent-{kept:03d}.safetensors", "stream-agent", 1, snapshot, about)
            save_checkpoint(folder / "buffer.safetensors", "stream-buffer", 1, buffer, about)


def replay(options: Replay) -> None:
    """Adds the missing rows."""
    done = {tuple(row[name] for name in KEYS) for row in read_rows(TABLE)}
    for seed in options.seeds:
        for weighting in options.weightings:
            name = f"{weighting} at random" if options.shuffled else weighting
            chosen = (options.stream.name, options.ensemble, options.width, options.mix, name, seed)
            about = dict(zip(KEYS, chosen, strict=True))
            if tuple(map(str, about.values())) not in done:
                for row in list(errors(options, weighting, seed)):  # all of a replay or nothing
                    append_row(TABLE, about | row)


class Shuffled:
    """Another weighting's weights, dealt at random.

    Args:
        weighting: the other one.
        seed: of the dealing.
    """

    def __init__(self, weighting: Weighting, seed: int) -> None:
        self.name, self.weighting = f"{weighting.name} at random", weighting
        self.generator = torch_generator(seed, "replay", "shuffle")
        self.health: dict[str, float] = {}

    def fit(self, transitions: Transitions, policy: Policy, start_observations: Tensor) -> Tensor:
        """The other's weights in another order."""
        weights = self.weighting.fit(transitions, policy, start_observations)
        self.health = self.weighting.health
        return weights[torch.randperm(len(weights), generator=self.generator)]

    def state(self) -> dict[str, Tensor]:
        """The other's."""
        return self.weighting.state()

    def load_state(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Restores `state`."""
        self.weighting.load_state(tensors, path)


def errors(options: Replay, weighting: WeightingName, seed: int) -> Iterator[dict[str, Any]]:
    """The figures of each refresh but the first, which nothing has been learned before."""
    columns, about = load_checkpoint(options.stream / "buffer.safetensors", "stream-buffer", 1)
    config = default_settings(about["task"])
    config: MbrlConfig = replace(
        config,
        seed=seed,
        weighting=weighting,
        ensemble=options.ensemble,
        limits=Limits(mix=options.mix),
        model=ModelConfig(members=3, elites=3, width=options.width, depth=3),
        mbpo=replace(config.mbpo, env_steps=about["rows"]),
    )
    agent, learner, _ = make_parts(get_task(config.task), config, options.stream)
    if options.shuffled:
        learner.weighting = Shuffled(learner.weighting, seed)
    first, transitions = columns.pop("first"), Transitions(**columns)
    objective = value_gradient_objective(agent.values) if weighting == "vagram" else None
    before = 0
    for refresh, file in enumerate(sorted(options.stream.glob("agent-*.safetensors"))):
        tensors, about = load_checkpoint(file, "stream-agent", 1)
        agent.load_state(without_prefix("agent", tensors), file)
        learner.add(transitions[before : about["rows"]], first[before : about["rows"]])
        before = about["rows"]
        learner.generator.manual_seed(derive_seed(seed, "replay", "weighting", refresh))
        draw, start = torch_generator(seed, "replay", "draw", refresh), time.process_time()
        figures = drain(learner.refresh(agent.policy, draw, objective if refresh else None))
        if refresh:
            seconds = time.process_time() - start
            yield {"rows": before, **{name: f"{figures[name]:.4g}" for name in MEASURES}, "cpu_seconds": seconds}


def main(options: Command) -> None:
    """Records or replays."""
    prepare_process()
    record(options) if isinstance(options, Record) else replay(options)


if __name__ == "__main__":
    with plain_refusals():
        main(tyro.cli(Command))
