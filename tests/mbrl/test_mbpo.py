"""The loop: it learns, weights that say nothing change nothing, the same bits, and what stops it."""

import copy
import json
from dataclasses import replace

import pytest
import torch

from expertgen.dynamics.termination import TERMINATIONS
from expertgen.dynamics.weighting.density_ratio import DensityRatio
from expertgen.dynamics.weighting.interface import Limits
from expertgen.errors import TrainingError, UsageError
from expertgen.evaluation.seeds import EVALUATION_SEED
from expertgen.mbrl import run as mbrl_run
from expertgen.mbrl.episodes import play_returns
from expertgen.mbrl.mbpo import MbpoConfig
from expertgen.mbrl.presets import TASK_PRESETS
from expertgen.mbrl.run import MbrlConfig, default_settings, run_mbrl
from expertgen.rl.sac_returns import ReturnSacAgent
from expertgen.runs.checkpoint import load_checkpoint
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from tests.mbrl.toy import LEARNS, TINY


def run(folder, config=TINY, **changes):
    return drain(run_mbrl(replace(config, **changes), folder, "expertgen mbrl toy"))


def rows(folder):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in read_metrics(folder)]


def agent_bytes(folder):
    return (folder / "agent.safetensors").read_bytes()


def test_learns_the_toy(tmp_path):
    results = run(tmp_path, LEARNS)
    assert results["return"] > 3.5, "standing still gives 1.8, the best possible 8.8"
    assert results["env_steps"] == 300
    assert results["updates"] == 600
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "agent.safetensors",
        "config.json",
        "metrics.jsonl",
        "results.json",
        "run.json",
    ]
    logged = read_metrics(tmp_path)
    assert [row["step"] for row in logged] == [225, 300, 300]
    for name in ("q", "entropy", "temperature", "critic_loss", "weights_effective_sample_size", "rollout_length"):
        assert name in logged[1]
    assert logged[1]["error_newest"] < 0.1
    evaluation = {"return", "return_deviation", "episode_steps", "discount"}
    assert set(logged[2]) == {"step", "seconds", "updates"} | evaluation


def test_weights_that_say_nothing_reproduce_uniform_mbpo_bit_for_bit(tmp_path, monkeypatch):
    run(tmp_path / "uniform")
    run(tmp_path / "mix", weighting="tom-chi2", limits=Limits(mix=0.0))
    with monkeypatch.context() as patched:
        patched.setattr(DensityRatio, "log_ratio", lambda self, transitions: torch.full_like(transitions.reward, 0.7))
        run(tmp_path / "constant", weighting="discriminator")
    for name in ("mix", "constant"):
        assert agent_bytes(tmp_path / name) == agent_bytes(tmp_path / "uniform")
    run(tmp_path / "tom", weighting="tom-chi2")
    assert agent_bytes(tmp_path / "tom") != agent_bytes(tmp_path / "uniform")


@pytest.mark.parametrize(
    "changes", [{}, {"weighting": "tom-kl"}, {"act_with": "planner"}, {"weighting": "vagram"}, {"ensemble": "mixture"}]
)
def test_the_same_seed_gives_the_same_bits(tmp_path, changes):
    results = [run(tmp_path / name, **changes) for name in ("one", "two")]
    assert agent_bytes(tmp_path / "one") == agent_bytes(tmp_path / "two")
    assert rows(tmp_path / "one") == rows(tmp_path / "two")
    assert results[0]["return"] == results[1]["return"]


def test_another_seed_gives_other_bits(tmp_path):
    run(tmp_path / "one")
    run(tmp_path / "two", seed=1)
    assert agent_bytes(tmp_path / "one") != agent_bytes(tmp_path / "two")


def test_a_finished_run_is_read_back(tmp_path):
    first = run(tmp_path)
    before = agent_bytes(tmp_path)
    assert run(tmp_path) == first
    (tmp_path / "results.json").unlink()
    again = run(tmp_path)
    assert agent_bytes(tmp_path) == before
    assert again["return"] == first["return"], "evaluated again, it is the same agent on the same episodes"


@pytest.mark.parametrize("keep_best", [False, True])
def test_a_planner_that_was_killed_while_it_was_evaluated_has_its_model_back(tmp_path, monkeypatch, keep_best):
    mbpo = replace(TINY.mbpo, keep_best=keep_best, late_discount=0.8, late_discount_from=TINY.mbpo.exploration_steps)
    changes = {"act_with": "planner", "mbpo": mbpo}
    straight = run(tmp_path / "straight", **changes)

    def killed(env, actor, seed, device):
        if seed == EVALUATION_SEED:
            raise KeyboardInterrupt
        return play_returns(env, actor, seed, device)

    with monkeypatch.context() as patched:
        patched.setattr(mbrl_run, "play_returns", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed", **changes)
    assert (tmp_path / "killed" / "agent.safetensors").exists()
    assert run(tmp_path / "killed", **changes)["return"] == straight["return"]
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == sorted(
        p.name for p in (tmp_path / "straight").iterdir()
    )


def test_only_the_tasks_own_end_stops_the_bootstrap(tmp_path, monkeypatch):
    seen = []
    update = ReturnSacAgent.update

    def spy(self, batch, policy=True):
        seen.append(copy.deepcopy(batch))
        return update(self, batch, policy)

    monkeypatch.setattr(ReturnSacAgent, "update", spy)
    run(tmp_path)
    assert len(seen) == 30
    lost = torch.stack([(batch.next_observation.abs() > 1.2).any(dim=1) for batch in seen])
    discount = torch.stack([batch.discount for batch in seen])
    assert torch.equal(discount, torch.where(lost, 0.0, 0.9))
    assert bool(lost.any())


def test_the_discount_may_rise_late(tmp_path, monkeypatch):
    seen, update = [], ReturnSacAgent.update

    def spy(self, batch, policy=True):
        seen.append(float(batch.discount.max()))
        return update(self, batch, policy)

    monkeypatch.setattr(ReturnSacAgent, "update", spy)
    mbpo = replace(TINY.mbpo, env_steps=160, exploration_steps=100, epoch_steps=20)
    run(tmp_path, mbpo=replace(mbpo, late_discount=0.95, late_discount_from=120))
    early = 20 * mbpo.updates_per_step
    assert seen == pytest.approx([0.9] * early + [0.95] * 2 * early)


def test_the_agent_of_the_best_evaluation_is_kept(tmp_path, monkeypatch):
    returns, states = iter([1.0, 3.0, 2.0]), []

    def scripted(env, actor, seed, device):
        states.append({name: tensor.clone() for name, tensor in actor.state().items()})
        return torch.tensor([next(returns, 0.0)] * 2), torch.ones(2)

    monkeypatch.setattr("expertgen.mbrl.mbpo.play_returns", scripted)
    mbpo = replace(TINY.mbpo, env_steps=160, exploration_steps=100, epoch_steps=20, keep_best=True)
    run(tmp_path, mbpo=mbpo)
    kept, _ = load_checkpoint(tmp_path / "agent.safetensors", "mbrl-agent", 1)
    assert all(torch.equal(kept[name], tensor) for name, tensor in states[1].items())
    assert not all(torch.equal(kept[name], tensor) for name, tensor in states[2].items())
    assert not (tmp_path / "best.safetensors").exists()


@pytest.mark.parametrize("part", ["agent", "model"])
def test_a_loss_that_is_not_finite_stops_with_the_batch(tmp_path, monkeypatch, part):
    if part == "agent":
        monkeypatch.setattr(ReturnSacAgent, "fit_reward_scale", lambda self, reward: self.reward_scale.fill_(0.0))
    else:
        monkeypatch.setattr("expertgen.dynamics.model.Standardizer.fit", lambda self, x: self.mean.fill_(float("nan")))
    with pytest.raises(TrainingError, match="is not finite") as caught:
        run(tmp_path)
    assert "\n" not in str(caught.value)
    assert load_checkpoint(tmp_path / "bad_batch.safetensors", "bad-batch", 1)[0]["reward"].ndim >= 1


def test_a_wrong_termination_rule_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setitem(TERMINATIONS, "toy-hold", lambda observation, action, following: following[..., 0] > 0)
    with pytest.raises(TrainingError, match="the termination rule disagrees with the simulator"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env_steps": 0}, r"mbpo\.env_steps must be at least 1"),
        ({"env_steps": 100, "exploration_steps": 100}, r"mbpo\.exploration_steps \(100\) must be less than"),
        (
            {"updates_per_step": 5, "policy_every": 2},
            r"mbpo\.policy_every \(2\) must divide mbpo\.updates_per_step \(5\)",
        ),
        ({"real_ratio": 1.0}, r"mbpo\.real_ratio must lie in \[0, 1\)"),
        ({"late_discount": 1.0}, r"mbpo\.late_discount must lie in \[0, 1\), not 1\.0"),
        ({"late_discount": 0.9, "late_discount_from": -1}, r"mbpo\.late_discount_from must not be negative"),
        ({"rollout_schedule": (20, 20, 1, 1)}, r"mbpo\.rollout_schedule .* needs 0 <= e0 < e1"),
        ({"rollout_schedule": (0, 9, 0, 1)}, r"mbpo\.rollout_schedule .* 1 <= k0 <= k1"),
        (
            {"rollout_schedule": (0, 9, 1, 60), "rollout_transitions": 59},
            r"a rollout of 60 steps is longer than mbpo\.rollout_transitions \(59\)",
        ),
    ],
)
def test_impossible_loops_are_refused(changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        MbpoConfig(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed must not be negative"),
        ({"final_episodes": 0}, "final_episodes must be at least 1"),
        ({"recency_scale": 0.0}, "recency_scale must be positive"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        (
            {"weighting": "tom-kl", "mbpo": MbpoConfig(weight_model=False, weight_starts=False)},
            "the tom-kl weighting is to weigh neither the model's data nor rollout starts",
        ),
        ({"task": "assembly"}, "there is no termination rule for task 'assembly'.*--termination learned"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        MbrlConfig(**({"task": "hopper"} | changes))
    assert "\n" not in str(caught.value)


def test_every_preset_makes_settings():
    settings = {task: default_settings(task) for task in TASK_PRESETS}
    hopper = settings["hopper"]
    assert hopper.mbpo.rollout_schedule == (20, 150, 1, 15)
    assert hopper.agent.target_entropy * 3 == pytest.approx(-1)
    assert settings["humanoid-truncated"].model.width == 400
    assert all(one.termination == "rule" for one in settings.values())
    assert default_settings("assembly").termination == "learned"
