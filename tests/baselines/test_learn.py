"""Baselines in the loop of steering: they learn a toy, end as files, and give the same bits again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from expertgen.baselines.direct import DirectConfig
from expertgen.baselines.dppo import DppoConfig
from expertgen.baselines.ibrl import IbrlConfig
from expertgen.baselines.learn import learn_baseline
from expertgen.baselines.learned import KIND, VERSION, LearnedBaseline
from expertgen.baselines.residual import ResidualConfig
from expertgen.baselines.self_imitation import SelfImitationConfig
from expertgen.baselines.tuned import TunedPrior
from expertgen.errors import FileError, UsageError
from expertgen.evaluation.rollouts import run_episodes
from expertgen.prior.prior import DiffusionPrior, PriorPolicy
from expertgen.rl.fast_td3 import FastTd3Config
from expertgen.rl.sac import SacConfig
from expertgen.runs.checkpoint import load_checkpoint, save_checkpoint
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from tests.steering.toy import STEER, TASK, TINY, train_toy_prior
from tests.toys import PointEnv, point_demos

SAC = SacConfig(width=32, depth=2, learning_rate=2e-3, average_rate=0.01, discount=0.992)
RESIDUAL = ResidualConfig(scale=0.5, progressive_share=0.25, sac=replace(SAC, discount=0.99))
DIRECT = DirectConfig(chunk_length=2, sac=replace(SAC, critics=3, discount=0.99))
IBRL = IbrlConfig(sac=replace(SAC, critics=3))
SELF_IMITATION = SelfImitationConfig(demo_share=0.0, discount=0.915, learning_rate=1e-3, average_rate=0.01)
DPPO = DppoConfig(
    discount=0.992,
    width=32,
    depth=2,
    learning_rate=1e-3,
    rounds=8,
    epochs=10,
    exploration_deviation=0.2,
    likelihood_deviation=0.2,
)
LOOP = replace(STEER, stop_at=2.0)


@pytest.fixture(scope="module")
def prior_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prior")
    train_toy_prior(folder)
    return folder / "prior.safetensors"


@pytest.fixture
def prior(prior_file):
    return DiffusionPrior.load(prior_file)


@pytest.fixture(scope="module")
def demos():
    return point_demos(64, 0, offset=0.05)


def success_rate(policy):
    episodes = drain(run_episodes(PointEnv(64), policy, 256, seed=999))
    return np.mean([episode.success for episode in episodes])


def test_a_residual_improves_the_prior(prior, tmp_path):
    before = success_rate(PriorPolicy(prior, torch.Generator().manual_seed(0)))
    learned = drain(learn_baseline(TASK, prior, RESIDUAL, LOOP, 0, tmp_path))
    assert success_rate(learned.policy(0)) > before + 0.2
    logged = read_metrics(tmp_path)
    assert "residual_norm" in logged[0]
    assert logged[0]["residual_norm"] == 0, "the warm-up is the prior's own behaviour"


def test_demonstrations_teach_the_actions_themselves(prior, demos, tmp_path):
    learned = drain(learn_baseline(TASK, prior, DIRECT, LOOP, 0, tmp_path, demos=demos))
    assert success_rate(learned.policy(0)) > 0.6


def test_choosing_between_prior_and_rl_improves_the_prior(prior, demos, tmp_path):
    before = success_rate(PriorPolicy(prior, torch.Generator().manual_seed(0)))
    learned = drain(learn_baseline(TASK, prior, IBRL, LOOP, 0, tmp_path, demos=demos))
    assert success_rate(learned.policy(0)) > before + 0.3
    assert any("prior_share" in row for row in read_metrics(tmp_path))


@pytest.mark.parametrize(("options", "env_steps"), [(SELF_IMITATION, 20_000), (DPPO, 80_000)])
def test_training_the_prior_itself_improves_it_and_leaves_a_prior(prior, tmp_path, options, env_steps):
    before = success_rate(PriorPolicy(prior, torch.Generator().manual_seed(0)))
    weights = [parameter.clone() for parameter in prior.network.parameters()]
    loop = replace(LOOP, env_steps=env_steps, segment_env_steps=20_000, batch_size=256, success_share=0.9)
    learned = drain(learn_baseline(TASK, prior, options, loop, 0, tmp_path))
    assert success_rate(learned.policy(0)) > before + 0.1
    assert all(map(torch.equal, weights, prior.network.parameters())), "the prior that was given stays as it is"
    again = DiffusionPrior.load(tmp_path / "expert.safetensors")
    assert success_rate(PriorPolicy(again, torch.Generator().manual_seed(0))) > before + 0.1
    prior.save(tmp_path / "prior.safetensors")
    with pytest.raises(FileError, match="that no baseline has trained"):
        TunedPrior.load(tmp_path / "prior.safetensors")


@pytest.mark.parametrize(
    "options",
    [
        RESIDUAL,
        DIRECT,
        replace(DIRECT, algorithm="fast-td3", fast_td3=FastTd3Config(width=32, depth=2)),
        IBRL,
        replace(SELF_IMITATION, demo_share=0.25),
        DPPO,
    ],
    ids=["residual", "direct", "direct-fast-td3", "ibrl", "self-imitation", "dppo"],
)
def test_stopped_again_and_again_it_goes_on_to_the_same_bytes(prior, demos, tmp_path, options):
    stops = 0
    while not (tmp_path / "stopped" / "expert.safetensors").exists():
        stops += 1  # each time later, so that it gets done in the end
        loop = learn_baseline(TASK, prior, options, TINY, 0, tmp_path / "stopped", demos=demos)
        for _ in zip(range(6 * stops), loop, strict=False):
            pass
        loop.close()
    assert stops > 2
    drain(learn_baseline(TASK, prior, options, TINY, 0, tmp_path / "whole", demos=demos))
    stopped, whole = (tmp_path / name / "expert.safetensors" for name in ("stopped", "whole"))
    assert stopped.read_bytes() == whole.read_bytes()


def test_a_file_that_does_not_fit_is_refused_in_one_line(prior, demos, tmp_path):
    drain(learn_baseline(TASK, prior, DIRECT, TINY, 0, tmp_path, demos=demos))
    path = tmp_path / "expert.safetensors"
    tensors, meta = load_checkpoint(path, KIND, VERSION)
    for about, message in (
        (meta | {"method": "magic"}, "does not fit this version"),
        (meta | {"options": meta["options"] | {"chunk_length": 3}}, "shape"),
        (meta | {"options": {"colour": "red"}}, "does not fit this version"),
    ):
        save_checkpoint(path, KIND, VERSION, tensors, about)
        with pytest.raises(FileError, match=message) as caught:
            LearnedBaseline.load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_demonstrations_that_are_wanted_must_be_given(prior, tmp_path):
    with pytest.raises(UsageError, match="demo_share needs demonstrations"):
        drain(learn_baseline(TASK, prior, DIRECT, TINY, 0, tmp_path))
    drain(learn_baseline(TASK, prior, replace(DIRECT, demo_share=0.0), TINY, 0, tmp_path))
