"""The expert: noise within its bound, two modes, and the same from a file."""

import numpy as np
import pytest
import torch

from expertgen.errors import FileError
from expertgen.prior.prior import DiffusionPrior, PriorConfig
from expertgen.rl.fast_td3 import FastTd3Config
from expertgen.rl.ppo import PpoConfig
from expertgen.rl.sac import SacConfig
from expertgen.runs.checkpoint import load_checkpoint, save_checkpoint
from expertgen.steering.algorithms import make_actor
from expertgen.steering.aliasing import AliasingConfig
from expertgen.steering.expert import KIND, VERSION, Expert, ExpertPolicy
from expertgen.steering.noise import NoiseSpace

AGENT = SacConfig(width=16, depth=2)
NOISE = NoiseSpace()


def make_expert(mode="mean", agent=AGENT, space=NOISE, draws=1):
    torch.manual_seed(0)
    config = PriorConfig(chunk_length=4, levels=5, sampler_steps=2, width=16, depth=1)
    prior = DiffusionPrior("toy", config, observation_size=3, action_size=2)
    actor = make_actor(agent, 3, space.action_size((4, 2)), draws).requires_grad_(False)
    for name, weight in actor.named_parameters():
        if name.endswith(("head.weight", "critic.weight")):
            weight.mul_(100)
    return Expert(prior, actor, agent, space=space, mode=mode, validated=0.75)


def chosen(expert, mode=None, seed=0):
    """The noise that a new policy chooses first."""
    policy = ExpertPolicy(expert, seed, mode)
    policy.plan(OBSERVATION.numpy(), np.arange(5))
    return policy.noise


OBSERVATION = torch.linspace(-1, 1, 15).view(5, 3)


def test_noise_is_the_actors_within_the_bound():
    expert = make_expert()
    mean = chosen(expert)
    expected = 1.5 * expert.actor(expert.prior.normalize(OBSERVATION))[0].tanh()
    torch.testing.assert_close(mean, expected.view(5, 4, 2))
    sampled = chosen(expert, mode="sampled")
    assert sampled.shape == (5, 4, 2)
    assert float(sampled.abs().max()) <= 1.5
    assert not torch.equal(sampled, mean)


def test_samples_differ_by_seed_and_the_mean_does_not():
    expert = make_expert()
    assert torch.equal(chosen(expert, seed=1), chosen(expert, seed=2))
    draws = [chosen(expert, "sampled", seed) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_the_best_of_several_noises_is_the_one_that_the_lowest_critic_values_most():
    expert, seen = make_expert("best", draws=6), make_expert().prior.normalize(OBSERVATION)
    normal = torch.randn(5, 6, 8, generator=torch.Generator().manual_seed(0))
    action = expert.actor.act(seen, normal.flatten(1))
    drawn = torch.stack([expert.actor.actor.act(seen, normal[:, i]) for i in range(6)])
    values = torch.stack([expert.actor.critic(seen, one).amin(dim=0) for one in drawn])
    assert len(values.argmax(dim=0).unique()) > 1
    for row, best in enumerate(values.argmax(dim=0).tolist()):
        torch.testing.assert_close(action[row], drawn[best, row])
    assert torch.equal(expert.actor.act(seen), expert.actor.actor.act(seen))
    torch.testing.assert_close(chosen(expert, seed=1), chosen(expert, seed=1))
    assert not torch.equal(chosen(expert, seed=1), chosen(expert, seed=2))


@pytest.mark.parametrize(
    ("mode", "agent", "space", "draws"),
    [
        ("mean", AGENT, NOISE, 1),
        ("best", AGENT, NoiseSpace(rank=2), 3),
        ("best", AliasingConfig(AGENT, distill_steps=1), NOISE, 2),
        ("sampled", AGENT, NoiseSpace(bound=0.5, around_prior=True), 1),
        ("mean", FastTd3Config(width=16, depth=2), NoiseSpace(rank=2), 1),
        ("mean", AliasingConfig(AGENT, distill_steps=1), NOISE, 1),
        ("sampled", PpoConfig(width=16, depth=2, deviation=0.5), NoiseSpace(rank=1), 1),
    ],
)
def test_file_round_trip(tmp_path, mode, agent, space, draws):
    expert, path = make_expert(mode, agent, space, draws), tmp_path / "expert.safetensors"
    expert.save(path)
    loaded = Expert.load(path)
    assert (loaded.mode, loaded.space, loaded.validated, loaded.agent) == (mode, space, 0.75, agent)
    plans = [ExpertPolicy(e, seed=3).plan(OBSERVATION.numpy(), np.arange(5)) for e in (expert, loaded)]
    np.testing.assert_array_equal(*plans)
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_policy_acts_in_its_declared_mode_unless_told_otherwise():
    ids = np.arange(5)
    deterministic = ExpertPolicy(make_expert("mean"))
    plan = deterministic.plan(OBSERVATION.numpy(), ids)
    assert plan.shape == (5, deterministic.chunk_length, 2)
    assert plan.dtype == np.float32
    np.testing.assert_array_equal(deterministic.plan(OBSERVATION.numpy(), ids), plan)
    sampled = ExpertPolicy(make_expert("sampled"))
    assert not np.array_equal(sampled.plan(OBSERVATION.numpy(), ids), sampled.plan(OBSERVATION.numpy(), ids))
    overridden = ExpertPolicy(make_expert("sampled"), mode="mean")
    np.testing.assert_array_equal(overridden.plan(OBSERVATION.numpy(), ids), plan)


def test_around_the_prior_the_mean_is_a_step_from_fresh_noise():
    expert = make_expert("mean", space=NoiseSpace(bound=0.5, around_prior=True))
    policies, noises = [ExpertPolicy(expert, seed) for seed in (1, 1, 2)], []
    for policy in policies:
        policy.plan(OBSERVATION.numpy(), np.arange(5))
        noises.append(policy.noise)
    assert torch.equal(noises[0], noises[1])
    step = expert.space.bound * expert.actor.act(expert.prior.normalize(OBSERVATION))
    epsilon = noises[0].flatten(1) - step
    assert 0.7 < float(epsilon.std()) < 1.3
    assert not torch.equal(noises[0], noises[2])


def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path):
    path = tmp_path / "expert.safetensors"
    make_expert().save(path)
    whole = path.read_bytes()
    tensors, meta = load_checkpoint(path, KIND, VERSION)
    without_actor = {name: tensor for name, tensor in tensors.items() if not name.startswith("actor")}
    for kind, version, kept, about, message in (
        ("prior", VERSION, tensors, meta, "holds a 'prior', not a 'expert'"),
        (KIND, VERSION + 1, tensors, meta, f"version {VERSION + 1}"),
        (KIND, VERSION, without_actor, meta, "is missing"),
        (KIND, VERSION, tensors, meta | {"agent": {"width": 8, "depth": 2}}, "shape"),
        (KIND, VERSION, tensors, meta | {"agent": {"colour": "red"}}, "does not fit this version"),
    ):
        save_checkpoint(path, kind, version, kept, about)
        with pytest.raises(FileError, match=message) as caught:
            Expert.load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="truncated"):
        Expert.load(path)
