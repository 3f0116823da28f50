"""Playing episodes: one loop for every policy, on a fixed cohort, so that quick successes do not count twice.

Counting whichever episodes finish first favours the short ones, and successes are the short ones. Here every
environment plays a number of episodes fixed beforehand, and all of them count.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from expertgen.errors import UsageError
from expertgen.evaluation.policy import Policy
from expertgen.runs.progress import StageProgress
from expertgen.tasks.chunks import ChunkOutcome, execute_chunk
from expertgen.tasks.environment import TaskEnv
from expertgen.tasks.episodes import cohort


@dataclass(frozen=True)
class Episode:
    """One episode as it happened; `steps` is `T` below.

    Attributes:
        env: index of the environment that played it.
        index: how many episodes that environment had played before; seed, `env` and `index` name the start state.
        success: whether it ended in success.
        steps: control steps run.
        observations: float32 `[T + 1, D]`, from the first after the reset to the terminal one.
        actions: float32 `[T, A]`; `actions[t]` was run at `observations[t]`.
    """

    env: int
    index: int
    success: bool
    steps: int
    observations: np.ndarray
    actions: np.ndarray


def run_episodes(
    env: TaskEnv, policy: Policy, episodes: int, seed: int, stage: str = "evaluate"
) -> Generator[StageProgress, None, list[Episode]]:
    """Plays a fixed cohort of episodes with a policy.

    An environment starts its next episode at the decision after its last one ended, and stops for good when its
    share is played. The policy plans only for environments that are playing. The same seed gives the same
    episodes, bit for bit, and, where a simulator draws randomness at resets only, two policies meet the same
    start states.

    Args:
        env: where to play; it is reset with `seed` first.
        policy: what plans the chunks.
        episodes: how many, at least 1. With fewer episodes than environments the last environments idle.
        seed: environment seed.
        stage: name shown in the progress.

    Yields:
        episodes finished after every decision, and the share of successes among them (which leans high until the end).

    Returns:
        the episodes, ordered by environment and index.

    Raises:
        UsageError: if `episodes` is below 1, or the policy plans chunks of a wrong shape.
    """
    if episodes < 1:
        raise UsageError(f"episodes is {episodes}; evaluate at least 1")
    share = cohort(episodes, env.num_envs)
    played = np.zeros(env.num_envs, np.int64)
    observation, _ = env.reset(seed=seed)
    ids = np.flatnonzero(share)
    policy.reset(ids)
    records = {int(i): _Record(observation[i]) for i in ids}
    chunk = np.zeros((env.num_envs, policy.chunk_length, env.task.action_size), np.float32)
    finished: list[Episode] = []
    while ids.size:
        chunk[ids] = _checked_plan(policy, observation[ids], ids, chunk.shape[1:])
        outcome = execute_chunk(env, chunk, ended=played >= share)
        for i in ids:
            records[int(i)].append(chunk[i], outcome, int(i))
        over = ids[outcome.ended[ids]]
        finished += [records[int(i)].episode(int(i), int(played[i]), bool(outcome.success[i])) for i in over]
        played[over] += 1
        observation = outcome.next_observation
        again = over[played[over] < share[over]]
        if again.size:
            mask = np.zeros(env.num_envs, bool)
            mask[again] = True
            observation, _ = env.reset(options={"reset_mask": mask})
            policy.reset(again)
            records |= {int(i): _Record(observation[i]) for i in again}
        ids = np.flatnonzero(played < share)
        success = float(np.mean([e.success for e in finished])) if finished else 0.0
        yield StageProgress(stage, len(finished), episodes, "episodes", {"success": success})
    return sorted(finished, key=lambda e: (e.env, e.index))


class _Record:
    """The growing pieces of one running episode."""

    def __init__(self, first_observation: np.ndarray) -> None:
        self.observations = [first_observation[None].copy()]
        self.actions: list[np.ndarray] = []

    def append(self, chunk: np.ndarray, outcome: ChunkOutcome, i: int) -> None:
        steps = int(outcome.steps[i])
        self.observations.append(outcome.observations[i, :steps].copy())
        self.actions.append(chunk[:steps].copy())

    def episode(self, env: int, index: int, success: bool) -> Episode:
        observations, actions = np.concatenate(self.observations), np.concatenate(self.actions)
        return Episode(env, index, success, len(actions), observations, actions)


def _checked_plan(policy: Policy, observation: np.ndarray, ids: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    plan = policy.plan(observation, ids)
    if plan.shape != (len(ids), *shape):
        raise UsageError(
            f"the policy planned chunks of shape {list(plan.shape)}; this task needs {[len(ids), *shape]}: "
            "is the policy one of another task?"
        )
    return plan
