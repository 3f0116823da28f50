"""From episodes to numbers: one summary for every policy of every stage, and its stable JSON form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expertgen.demos.store import DemoSet
from expertgen.errors import FileError, UsageError
from expertgen.evaluation.motion import action_jerk, action_saturation, distance_to_demonstrations, path_columns
from expertgen.evaluation.rollouts import Episode
from expertgen.evaluation.statistics import wilson_interval
from expertgen.runs.files import read_json, write_json
from expertgen.tasks.spec import TaskSpec


@dataclass(frozen=True)
class Failure:
    """A failed episode, named well enough to play it again.

    Attributes:
        seed: environment seed of the evaluation.
        env: environment that played it.
        index: how many episodes that environment had played before.
        steps: control steps until it ended.
    """

    seed: int
    env: int
    index: int
    steps: int


@dataclass(frozen=True)
class Evaluation:
    """What a policy achieved.

    Attributes:
        success: share of successful episodes.
        low: lower end of its 95% Wilson interval.
        high: upper end.
        episodes: number of episodes.
        seeds: environment seeds they were played on.
        seconds: wall time [s].
        env_steps: control steps.
        steps_to_success: mean length of the successful episodes [control steps]; None without a success.
        jerk: mean over episodes of the actions' root mean square third difference (`motion.action_jerk`); None where
            all episodes are shorter than four steps.
        dtw: mean over episodes of the distance to the nearest demonstration (`motion.distance_to_demonstrations`),
            in the path's unit, usually metres; None where there is nothing to compare with.
        saturation: share of action components at their limit.
        failures: the failed episodes.
    """

    success: float
    low: float
    high: float
    episodes: int
    seeds: tuple[int, ...]
    seconds: float
    env_steps: int
    steps_to_success: float | None
    jerk: float | None
    dtw: float | None
    saturation: float | None
    failures: tuple[Failure, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form of `results.json`: every attribute but `failures`, which `save_episodes` keeps."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in vars(self).items() if key != "failures"}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evaluation:
        """Reads what `to_json` gave; unknown keys are left alone.

        Raises:
            FileError: if a key is missing.
        """
        names = [name for name in cls.__dataclass_fields__ if name != "failures"]
        missing = [name for name in names if name not in value]
        if missing:
            raise FileError(f"an evaluation lacks {', '.join(missing)}; write it anew with `expertgen eval`")
        attributes: dict[str, Any] = {name: value[name] for name in names}
        attributes["seeds"] = tuple(value["seeds"])
        return cls(**attributes)


def summarize(
    episodes: Sequence[Episode], seed: int, seconds: float, task: TaskSpec, demos: DemoSet | None = None
) -> Evaluation:
    """Summarizes played episodes.

    Args:
        episodes: at least one, as `rollouts.run_episodes` returns them.
        seed: the environment seed they were played on.
        seconds: wall time [s] to report.
        task: names the columns of the path.
        demos: demonstrations to measure the distance to; None leaves `dtw` None.

    Returns:
        the evaluation; `env_steps` is what these episodes took.

    Raises:
        UsageError: if there are no episodes.
    """
    if not episodes:
        raise UsageError("there are no episodes to summarize; play at least one")
    successes = [e for e in episodes if e.success]
    low, high = wilson_interval(len(successes), len(episodes))
    columns = path_columns(task)
    dtw = None
    if demos is not None and demos.demos and columns.size:
        references = [d.observations[:, columns] for d in demos.demos]
        dtw = _mean(distance_to_demonstrations([e.observations[:, columns] for e in episodes], references))
    return Evaluation(
        success=len(successes) / len(episodes),
        low=low,
        high=high,
        episodes=len(episodes),
        seeds=(seed,),
        seconds=seconds,
        env_steps=sum(e.steps for e in episodes),
        steps_to_success=_mean([e.steps for e in successes]),
        jerk=_mean([action_jerk(e.actions) for e in episodes]),
        dtw=dtw,
        saturation=_mean([action_saturation(e.actions) for e in episodes]),
        failures=tuple(Failure(seed, e.env, e.index, e.steps) for e in episodes if not e.success),
    )


def demo_episodes(demos: DemoSet) -> list[Episode]:
    """Demonstrations in the shape of episodes, so that they are summarized like every policy.

    Demonstration `i` becomes environment `i`. Its terminal observation is not stored, so `observations` has `steps`
    rows only.
    """
    return [Episode(i, 0, d.success, len(d.actions), d.observations, d.actions) for i, d in enumerate(demos.demos)]


def save_episodes(path: Path, episodes: Sequence[Episode], seed: int) -> None:
    """Writes the outcome of every episode, atomically.

    The form is `{"seed": s, "episodes": [{"env": 0, "index": 0, "success": true, "steps": 61}, ...]}`.
    """
    rows = [{"env": e.env, "index": e.index, "success": e.success, "steps": e.steps} for e in episodes]
    write_json(path, {"seed": seed, "episodes": rows})


def load_failures(path: Path) -> tuple[Failure, ...]:
    """Reads the failed episodes out of what `save_episodes` wrote.

    Raises:
        FileError: if the file is missing or of another form.
    """
    value = read_json(path)
    try:
        failed = [row for row in value["episodes"] if not row["success"]]
        return tuple(Failure(value["seed"], row["env"], row["index"], row["steps"]) for row in failed)
    except (KeyError, TypeError) as error:
        raise FileError(f"{path} is not a list of episodes ({error!r}); write it anew with `expertgen eval`") from error


def _mean(values: Iterable[float]) -> float | None:
    """Mean of the finite values, None if there are none: JSON knows no NaN."""
    finite = [float(v) for v in values if np.isfinite(v)]
    return float(np.mean(finite)) if finite else None
