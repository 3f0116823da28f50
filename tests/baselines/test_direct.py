"""RL on the actions themselves: the dense reward by hand, a toy learnt from it, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from expertgen.baselines.direct import DirectConfig, DirectController, dense_reward
from expertgen.baselines.learn import learn_baseline
from expertgen.errors import UsageError
from expertgen.evaluation.rollouts import run_episodes
from expertgen.prior.prior import DiffusionPrior, PriorConfig
from expertgen.rl.fast_td3 import FastTd3Config
from expertgen.rl.replay import Replay
from expertgen.rl.sac import SacConfig
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from expertgen.tasks.chunks import ChunkOutcome
from expertgen.tasks.registry import get_task
from tests.steering.toy import STEER, TASK, TINY
from tests.toys import PointEnv

FAR = 3.0
"""No two points of the square are farther apart [m]."""


class NearEnv(PointEnv):
    """The toy with a dense reward: 2 at the goal, 0 at the farthest."""

    def step(self, actions):
        running = ~(self._success | self._truncated)
        observation, distance, terminated, truncated, info = super().step(actions)
        reward = np.where(running, 2 * (1 + distance / FAR), 0.0).astype(np.float32)
        return observation, reward, terminated, truncated, info


def make_near_env(task, num_envs, threads):
    return NearEnv(num_envs, task=task)


NEAR = replace(TASK, simulator="tests.baselines.test_direct:make_near_env", largest_reward=2.0)
SAC = SacConfig(width=32, depth=2, learning_rate=2e-3, average_rate=0.01, critics=3, discount=0.95, target_entropy=-0.5)
TD3 = FastTd3Config(width=32, depth=2, learning_rate=2e-3, average_rate=0.02, policy_delay=1, discount=0.95)


@pytest.fixture
def prior():
    return DiffusionPrior("toy-point", PriorConfig(chunk_length=4, width=8, depth=1), 4, 2)


def outcome(reward, steps, success):
    rows, flags = len(reward), np.array(success)
    nothing = np.zeros((rows, 4, 1), np.float32)
    reward, steps = np.array(reward, np.float32), np.array(steps)
    return ChunkOutcome(nothing, nothing[:, 0], reward, flags, flags, np.zeros(rows, bool), steps)


def test_dense_rewards_by_hand():
    #                 half of the largest  ended early   success         beyond the largest, below 0
    given = outcome([20.0, 10.0, 20.0, 50.0, -3.0], [4, 2, 4, 4, 4], [False, False, True, False, False])
    found = dense_reward(given, largest=10.0, discount=0.9)
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx([0.05, 0.05, 0.95, 0.1, 0.0])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_returns_of_dense_rewards_lie_between_0_and_1_and_success_is_worth_most(share):
    discount, decisions = 0.9, 200
    discounts = discount ** np.arange(decisions)
    stays = dense_reward(outcome([40 * share] * decisions, [4] * decisions, [False] * decisions), 10.0, discount)
    assert float(discounts @ stays) == pytest.approx(share, abs=1e-6)
    succeeds = dense_reward(outcome([40 * share], [4], [True]), 10.0, discount)
    assert share <= float(succeeds[0]) <= 1


@pytest.mark.parametrize("algorithm", ["sac", "fast-td3"])
def test_a_dense_reward_teaches_the_toy_from_scratch(prior, tmp_path, algorithm):
    options = DirectConfig(chunk_length=2, demo_share=0.0, reward="dense", algorithm=algorithm, sac=SAC, fast_td3=TD3)
    loop = replace(STEER, stop_at=2.0)
    learned = drain(learn_baseline(NEAR, prior, options, loop, 0, tmp_path))
    episodes = drain(run_episodes(PointEnv(64), learned.policy(0), 128, seed=999))
    assert np.mean([episode.success for episode in episodes]) > 0.6


def test_a_dense_reward_that_a_task_does_not_have_is_refused(prior, tmp_path):
    options = DirectConfig(demo_share=0.0, reward="dense")
    with pytest.raises(UsageError, match=r"task 'toy-point' has no dense reward; set direct\.reward to sparse"):
        drain(learn_baseline(TASK, prior, options, TINY, 0, tmp_path))
    assert get_task("assembly").largest_reward == 10
    assert get_task("adroit-door").largest_reward is None


def test_warm_up_of_direct_actions_is_uniform(prior):
    controller = DirectController(prior, 3)
    action = controller.warm_up(torch.randn(4000, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(4000, 4))
    assert float(action.std()) == pytest.approx(3**-0.5, abs=0.01)
    assert float((action > 0.5).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert controller.chunk(np.zeros((4000, 4)), action, np.arange(4000)).shape == (4000, 3, 2)


def test_actions_of_its_own_are_learnt_without_waiting_for_success(prior, tmp_path, monkeypatch):
    monkeypatch.setattr(Replay, "successes", lambda self: torch.zeros(0, dtype=torch.long))
    options = DirectConfig(chunk_length=2, demo_share=0.0, sac=SAC)
    drain(learn_baseline(TASK, prior, options, TINY, 0, tmp_path))
    assert read_metrics(tmp_path)[-2]["updates"] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chunk_length": 0}, r"direct\.chunk_length must be at least 1, not 0"),
        ({"demo_share": 1.0}, r"direct\.demo_share must lie in \[0, 1\)"),
        ({"updates_per_decision": -1.0}, r"direct\.updates_per_decision must be positive"),
        ({"reward": "dense"}, r"direct\.reward dense does not fit .*; set direct\.demo_share to 0"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        DirectConfig(**changes)
