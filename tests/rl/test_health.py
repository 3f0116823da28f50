"""What is said of how learning goes."""

import numpy as np
import pytest
import torch

from expertgen.rl.health import Means, RecentSuccess


def test_recent_success_does_not_lean_towards_short_episodes():
    # Successes take 5 decisions, failures the limit of 20; half of the episodes succeed.
    chance, recent = np.random.default_rng(0), RecentSuccess(64, 20)
    shown, last = [], []
    for _ in range(40):
        recent.restart()
        wins, age = chance.random(64) < 0.5, np.zeros(64, int)
        for _ in range(60):
            age += 1
            ended = age == np.where(wins, 5, 20)
            recent.add(ended, ended & wins)
            last = [*last, *wins[ended]][-128:]
            wins, age = np.where(ended, chance.random(64) < 0.5, wins), np.where(ended, 0, age)
            shown.append((recent.rate, np.mean(last)))
    ours, naive = np.mean(shown[60:], axis=0)
    assert ours == pytest.approx(0.5, abs=0.01)
    assert naive > 0.54


def test_means_are_over_the_updates_that_report_a_value():
    means = Means()
    means.add({"a": torch.tensor(1.0), "b": torch.tensor(5.0)})
    means.add({"a": torch.tensor(2.0)})
    assert means.count == 2
    assert {name: float(value) for name, value in means.take().items()} == {"a": 1.5, "b": 5.0}
    assert (means.count, means.take()) == (0, {})
