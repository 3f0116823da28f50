"""Replay: n-step returns by hand and against a plain reference, marks of success, and cuts."""

import numpy as np
import pytest
import torch

from expertgen.rl.replay import Replay

GAMMA = 0.5


def add(replay, time, reward=0.0, terminated=False, truncated=False, success=False):
    """One round; observation `time` leads to `time + .5` in every environment, in environment i plus 1000 i."""
    offset = 1000.0 * torch.arange(replay.num_envs)[:, None]

    def column(value, dtype):
        return torch.as_tensor(value, dtype=dtype).expand(replay.num_envs).clone()

    replay.add(
        offset + time,
        torch.full((replay.num_envs, 1), time / 1000),
        column(reward, torch.float32),
        offset + time + 0.5,
        column(terminated, torch.bool),
        column(truncated, torch.bool),
        column(success, torch.bool),
    )


def returns(replay, n_step):
    """Observation → (reward, next observation, discount), of everything that a large sample shows."""
    batch = replay.sample(400, n_step, GAMMA, torch.Generator().manual_seed(0))
    columns = (batch.observation[:, 0], batch.reward, batch.next_observation[:, 0], batch.discount)
    found = {start: rest for start, *rest in zip(*(column.tolist() for column in columns), strict=True)}
    assert len(found) == len(replay), "every transition is drawn"
    assert torch.equal(batch.action[:, 0], batch.observation[:, 0] % 1000 / 1000)
    return found


def marked(replay):
    return sorted(replay._data["observation"].flatten(0, 1)[replay.successes(), 0].tolist())


def test_no_value_follows_a_termination():
    replay = Replay(8, 1, 1, 1)
    add(replay, 0)
    add(replay, 1)
    add(replay, 2, reward=1, terminated=True, success=True)
    add(replay, 3, reward=64)
    assert returns(replay, 3) == {
        0: [0.25, 2.5, 0.0],
        1: [0.5, 2.5, 0.0],
        2: [1.0, 2.5, 0.0],
        3: [64.0, 3.5, 0.5],
    }


def test_a_time_limit_bootstraps_from_the_true_last_observation():
    replay = Replay(8, 1, 1, 1)
    for time in range(3):
        add(replay, time, reward=1 + time, truncated=time == 2)
    add(replay, 3, reward=64)
    assert returns(replay, 3) == {
        0: [1 + 0.5 * 2 + 0.25 * 3, 2.5, 0.125],
        1: [2 + 0.5 * 3, 2.5, 0.25],
        2: [3.0, 2.5, 0.5],
        3: [64.0, 3.5, 0.5],
    }


def test_returns_stop_at_the_newest_round():
    replay = Replay(8, 1, 1, 1)
    for time in range(4):
        add(replay, time, reward=1)
    assert returns(replay, 3) == {
        0: [1.75, 2.5, 0.125],
        1: [1.75, 3.5, 0.125],
        2: [1.5, 3.5, 0.25],
        3: [1.0, 3.5, 0.5],
    }
    assert returns(replay, 1)[0] == [1.0, 0.5, 0.5]


def test_the_ring_wraps():
    replay = Replay(4, 1, 1, 1)
    for time in range(6):
        add(replay, time, reward=time)
    # Rows hold 4 5 2 3: returns run over the edge from 3 to 4, and never from the newest, 5, to the oldest, 2.
    assert len(replay) == 4
    assert returns(replay, 3) == {
        2: [2 + 1.5 + 1, 4.5, 0.125],
        3: [3 + 2 + 1.25, 5.5, 0.125],
        4: [4 + 2.5, 5.5, 0.25],
        5: [5.0, 5.5, 0.5],
    }


def test_environments_do_not_mix():
    replay = Replay(8, 2, 1, 1)
    add(replay, 0, reward=[1, 2])
    add(replay, 1, reward=[4, 8], terminated=[True, False], success=[True, False])
    add(replay, 2, reward=[16, 32])
    found = returns(replay, 2)
    assert found[0] == [1 + 2.0, 1.5, 0.0]
    assert found[1000] == [2 + 4.0, 1001.5, 0.25]
    assert found[1] == [4.0, 1.5, 0.0]
    assert found[1001] == [8 + 16.0, 1002.5, 0.25]
    assert marked(replay) == [0, 1]


def test_success_marks_its_own_episode_alone():
    replay = Replay(16, 1, 1, 1)
    add(replay, 0)
    add(replay, 1, truncated=True)
    add(replay, 2)
    assert marked(replay) == []
    add(replay, 3, terminated=True, success=True)
    assert marked(replay) == [2, 3]
    add(replay, 4, terminated=True)
    add(replay, 5)
    assert marked(replay) == [2, 3]
    add(replay, 6, terminated=True, success=True)
    assert marked(replay) == [2, 3, 5, 6]


def test_marks_go_when_their_rows_are_overwritten():
    replay = Replay(4, 1, 1, 1)
    for time in range(5):
        add(replay, time)
    # The episode began with rows that are gone already.
    add(replay, 5, terminated=True, success=True)
    assert marked(replay) == [2, 3, 4, 5]
    add(replay, 6)
    assert marked(replay) == [3, 4, 5]


def test_a_cut_abandons_the_episodes_under_way():
    replay = Replay(8, 2, 1, 1)
    add(replay, 0, reward=1)
    add(replay, 1, reward=[1, 1], terminated=[True, False], success=[True, False])
    replay.cut()
    add(replay, 10, reward=64)
    add(replay, 11, terminated=True, success=True)
    found = returns(replay, 3)
    assert found[1000] == [1.5, 1001.5, 0.25], "a bootstrap, and nothing of the episode after the cut"
    assert found[1] == [1.0, 1.5, 0.0], "what had ended stays ended"
    assert marked(replay) == [0, 1, 10, 11, 1010, 1011]
    Replay(8, 2, 1, 1).cut()


def test_the_share_of_successes():
    replay = Replay(100, 1, 1, 1)
    for time in range(100):
        add(replay, time, terminated=time == 4, success=time == 4)
    generator = torch.Generator().manual_seed(0)
    for share, least, most in ((0.0, 0, 8), (0.5, 32, 40), (1.0, 64, 64)):
        start = replay.sample(64, 1, GAMMA, generator, success_share=share).observation
        assert least <= int((start <= 4).sum()) <= most


def random_rounds(replay, seed, rounds):
    """Fills a replay with random episodes; returns what was added, a list of rounds of dictionaries."""
    draw = np.random.default_rng(seed)
    history = []
    for time in range(rounds):
        success = draw.random(replay.num_envs) < 0.1
        terminated = success | (draw.random(replay.num_envs) < 0.1)
        row = {
            "reward": draw.integers(0, 8, replay.num_envs).astype(np.float32),
            "terminated": terminated,
            "truncated": ~terminated & (draw.random(replay.num_envs) < 0.1),
            "success": success,
        }
        add(replay, time, **row)
        history.append(row)
    return history


@pytest.mark.parametrize("n_step", [1, 2, 3, 7])
@pytest.mark.parametrize("rounds", [1, 5, 16, 17, 40])
def test_agrees_with_a_plain_reference(n_step, rounds):
    replay = Replay(16, 3, 1, 1)
    history = random_rounds(replay, rounds, rounds)
    expected = {}
    for env in range(3):
        for start in range(max(0, rounds - 16), rounds):
            reward, scale, time = 0.0, 1.0, start
            while True:
                row = history[time]
                reward += scale * row["reward"][env]
                scale *= GAMMA
                if row["terminated"][env]:
                    scale = 0.0
                    break
                if row["truncated"][env] or time == rounds - 1 or time - start == n_step - 1:
                    break
                time += 1
            expected[1000.0 * env + start] = [reward, 1000.0 * env + time + 0.5, scale]
    assert returns(replay, n_step) == expected


@pytest.mark.parametrize("rounds", [3, 16, 25])
def test_a_restored_replay_goes_on_like_the_original(rounds):
    original, restored = Replay(16, 3, 1, 1), Replay(16, 3, 1, 1)
    random_rounds(original, 0, rounds)
    original.cut()
    restored.successes()
    restored.load_state({name: tensor.clone() for name, tensor in original.state().items()})
    assert torch.equal(original.successes(), restored.successes())
    for replay in (original, restored):
        random_rounds(replay, 1, 5)
    assert len(original) == len(restored)
    assert torch.equal(original.successes(), restored.successes())
    draws = [replay.sample(64, 3, 0.97, torch.Generator().manual_seed(2), 0.25) for replay in (original, restored)]
    for name, tensor in vars(draws[0]).items():
        assert torch.equal(tensor, getattr(draws[1], name)), name


def test_the_newest_rounds_come_in_their_order():
    replay = Replay(4, 2, 1, 1)
    for time in range(6):
        add(replay, time, terminated=time == 4)
    newest = replay.newest(3, 0.9)
    assert newest.observation[:, 0, 0].tolist() == [3, 4, 5]
    assert newest.observation[:, 1, 0].tolist() == [1003, 1004, 1005]
    assert newest.next_observation[:, 0, 0].tolist() == [3.5, 4.5, 5.5]
    assert newest.terminated[:, 0].tolist() == [False, True, False]
    assert newest.discount == 0.9
