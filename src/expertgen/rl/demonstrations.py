"""Demonstrations as experience: successful episodes cut into decisions, learnt from beside what the agent does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from expertgen.demos.store import DemoSet
from expertgen.errors import UsageError
from expertgen.prior.training import windows
from expertgen.rl.replay import Replay


@dataclass(frozen=True)
class DemoDecisions:
    """Decisions of demonstrations that succeeded, in sequences as an agent would make them.

    An episode gives H of these: the first begins with its first step, the second with its second, and so on, each with
    a decision every H steps from there to success. So every step is the beginning of a decision once.

    Attributes:
        observation: float32 `[M, D]`, the task's.
        chunk: float32 `[M, H, A]`, what was done from there; past an episode's end its last action is repeated.
        last: bool `[M]`, success came with this chunk, and the next decision begins another sequence.
    """

    observation: Float[Tensor, "decisions observation"]
    chunk: Float[Tensor, "decisions horizon action"]
    last: Bool[Tensor, " decisions"]


def demo_decisions(demos: DemoSet, chunk_length: int) -> DemoDecisions:
    """Cuts the demonstrations that succeeded.

    Raises:
        UsageError: if none did.
    """
    successful = [demo for demo in demos.demos if demo.success]
    if not successful:
        raise UsageError(
            f"no demonstration of {demos.task!r} succeeds, so none can be learnt from; set the method's demo_share to 0"
        )
    observation, chunk = windows(DemoSet(demos.task, demos.fields, tuple(successful)), chunk_length)
    lengths = [len(demo.actions) for demo in successful]
    starts = np.cumsum([0, *lengths[:-1]])
    rows = [
        start + np.arange(first, length, chunk_length)
        for start, length in zip(starts, lengths, strict=True)
        for first in range(min(chunk_length, length))
    ]
    last = torch.zeros(sum(map(len, rows)), dtype=torch.bool)
    last[np.cumsum([len(row) for row in rows]) - 1] = True
    index = torch.from_numpy(np.concatenate(rows))
    return DemoDecisions(observation[index], chunk[index], last)


def replay_of(
    seen: Float[Tensor, "decisions seen"], action: Float[Tensor, "decisions decided"], last: Bool[Tensor, " decisions"]
) -> Replay:
    """A replay of decisions, sequence after sequence, each of which ends in success.

    Args:
        seen: `[M, D']`, what an agent sees there.
        action: `[M, A']`, the actions in [-1, 1] that an agent would have chosen.
        last: `[M]`, success came with it.
    """
    replay = Replay(len(seen), 1, seen.shape[1], action.shape[1], seen.device)
    never = torch.zeros(1, dtype=torch.bool, device=seen.device)
    following = torch.cat([seen[1:], seen[-1:]])  # behind the last one of a sequence nothing follows
    for now, done, after, end in zip(seen, action, following, last.to(seen.device), strict=True):
        replay.add(now[None], done[None], end[None].float(), after[None], end[None], never, end[None])
    return replay
