"""The steering loop on a toy: it learns, it gives the same bits again, and it stops cleanly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from expertgen.errors import FileError, TrainingError, UsageError
from expertgen.evaluation.perturbations import PerturbedEnv
from expertgen.evaluation.rollouts import run_episodes
from expertgen.prior.prior import DiffusionPrior, PriorPolicy
from expertgen.rl import loop as looping
from expertgen.rl.demonstrations import demo_decisions
from expertgen.rl.process import DecisionProcess
from expertgen.rl.replay import Replay
from expertgen.rl.sac import SacAgent
from expertgen.runs.checkpoint import load_checkpoint
from expertgen.runs.metrics import read_metrics
from expertgen.runs.progress import drain
from expertgen.steering.aliasing import AliasingAgent
from expertgen.steering.expert import Expert, ExpertPolicy
from expertgen.steering.steer import SteerConfig, steer
from tests.steering.toy import STEER, TASK, TINY
from tests.toys import PointEnv, point_demos


@pytest.fixture
def quick_prior(quick_prior_file):
    return DiffusionPrior.load(quick_prior_file)


def success_rate(policy):
    episodes = drain(run_episodes(PointEnv(64), policy, 256, seed=999))
    return np.mean([episode.success for episode in episodes])


def rows(folder):
    """What was logged, but for the wall time."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in read_metrics(folder)]


def test_a_weak_prior_becomes_an_expert(prior, tmp_path):
    weights = prior.state()
    before = success_rate(PriorPolicy(prior, torch.Generator().manual_seed(0)))
    assert before < 0.5
    expert = drain(steer(TASK, prior, replace(STEER, stop_at=2.0), 0, tmp_path))
    assert success_rate(ExpertPolicy(expert)) > before + 0.35
    assert all(torch.equal(weights[name], tensor) for name, tensor in expert.prior.state().items()), "it is frozen"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expert.safetensors", "metrics.jsonl"]

    logged = read_metrics(tmp_path)
    training = [row for row in logged if "noise_norm" in row]
    validations = [row for row in logged if "validated_mean" in row]
    health = {"q", "td_error", "entropy", "temperature", "critic_loss", "actor_loss"}
    assert {"step", "seconds", "updates", "success"} <= training[0].keys()
    assert not health & training[0].keys(), "nothing is learnt while warming up"
    assert health <= training[-1].keys()
    assert training[-1]["success"] > training[5]["success"]
    assert len(validations) == 4
    assert expert.validated == max(max(row["validated_mean"], row["validated_sampled"]) for row in validations)
    assert 0 < training[-1]["q"] < 1
    assert training[-1]["updates"] >= STEER.updates_per_round * 50
    for name in ("step", "seconds"):
        values = [row[name] for row in logged]
        assert values == sorted(values)


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({"algorithm": "fast-td3", "env_steps": 24_000}, 0.2),
        ({"algorithm": "aliasing"}, 0.2),
        ({"algorithm": "ppo"}, 0.1),
        ({"noise_rank": 2}, 0.2),
        ({"best_of": 4}, 0.2),
        ({"noise_around_prior": True, "env_steps": 24_000}, 0.2),
    ],
)
def test_other_algorithms_and_noises_improve_the_prior_too(prior, tmp_path, changes, least):
    before = success_rate(PriorPolicy(prior, torch.Generator().manual_seed(0)))
    config = replace(STEER, **changes, stop_at=2.0)
    expert = drain(steer(TASK, prior, config, 0, tmp_path))
    assert success_rate(ExpertPolicy(expert)) > before + least
    assert type(expert.agent) is type(config.agent)
    assert expert.space == config.noise_space


@pytest.mark.parametrize("algorithm", ["sac", "aliasing"])
def test_demonstrations_get_their_share_of_every_batch(quick_prior, tmp_path, monkeypatch, algorithm):
    demos, batches = point_demos(16, 0, offset=0.05), []
    update = SacAgent.update if algorithm == "sac" else AliasingAgent.update

    def recorded(self, batch, learning_rate):
        batches.append(batch)
        return update(self, batch, learning_rate)

    monkeypatch.setattr(SacAgent if algorithm == "sac" else AliasingAgent, "update", recorded)
    config = replace(TINY, algorithm=algorithm, demo_share=0.25)
    drain(steer(TASK, quick_prior, config, 0, tmp_path, demos=demos))
    decisions = demo_decisions(demos, 4)
    known = {tuple(row) for row in quick_prior.normalize(decisions.observation).tolist()}
    for batch in batches:
        assert len(batch.reward) == TINY.batch_size
        assert [tuple(row) in known for row in batch.observation.tolist()] == [False] * 12 + [True] * 4
    if algorithm == "aliasing":
        chunks = {tuple(row) for row in decisions.chunk.flatten(1).tolist()}
        assert all(tuple(row) in chunks for row in batches[0].action[12:].tolist())


def test_demonstrations_that_are_wanted_must_be_given(quick_prior, tmp_path):
    with pytest.raises(UsageError, match=r"steer\.demo_share needs demonstrations"):
        drain(steer(TASK, quick_prior, replace(TINY, demo_share=0.25), 0, tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("algorithm", ["sac", "fast-td3", "aliasing", "ppo"])
def test_the_same_seed_gives_the_same_bits_on_one_core_and_on_two(quick_prior, tmp_path, monkeypatch, algorithm):
    config = replace(TINY, algorithm=algorithm)
    for name, seed, cores in (("two", 0, 2), ("one", 0, 1), ("other", 1, 1)):
        monkeypatch.setattr(looping, "available_cores", lambda cores=cores: cores)
        drain(steer(TASK, quick_prior, config, seed, tmp_path / name))
    files = {name: (tmp_path / name / "expert.safetensors").read_bytes() for name in ("two", "one", "other")}
    assert files["two"] == files["one"]
    assert rows(tmp_path / "two") == rows(tmp_path / "one")
    assert files["other"] != files["one"]


def test_a_finished_stage_is_read_back(quick_prior, tmp_path, monkeypatch):
    first = drain(steer(TASK, quick_prior, TINY, 0, tmp_path))
    monkeypatch.setattr(looping, "make_env", None)
    again = drain(steer(TASK, quick_prior, TINY, 0, tmp_path))
    assert (again.mode, again.validated) == (first.mode, first.validated)


def test_training_episodes_and_validations_can_be_disturbed(quick_prior, tmp_path, monkeypatch):
    perturb_all, run_episodes, disturbed, played = looping.perturb_all, looping.run_episodes, [], []

    def perturbing(env, words):
        assert words == ("actuation_noise=0.5",)
        disturbed.append(perturb_all(env, words))
        return disturbed[-1]

    def playing(env, *rest):
        played.append(env)
        return run_episodes(env, *rest)

    monkeypatch.setattr(looping, "perturb_all", perturbing)
    monkeypatch.setattr(looping, "run_episodes", playing)
    drain(steer(TASK, quick_prior, replace(TINY, perturbations=("actuation_noise=0.5",)), 0, tmp_path / "a"))
    assert len(disturbed) > len(set(played)) > 0  # segments' worlds are disturbed, too
    assert all(isinstance(env, PerturbedEnv) and env in disturbed for env in played)
    monkeypatch.undo()
    drain(steer(TASK, quick_prior, TINY, 0, tmp_path / "b"))
    assert rows(tmp_path / "a") != rows(tmp_path / "b")


def scripted(planned, see):
    """A stand-in for `run_episodes` that plays nothing, and has the next planned success."""

    def played(env, policy, episodes, seed, stage):
        assert seed == (looping.CONFIRMATION_SEED if stage.startswith("confirm") else looping.VALIDATION_SEED)
        see(policy)
        yield from ()
        success = round(next(planned) * 100)
        return [type("Episode", (), {"success": i < success, "steps": 3})() for i in range(100)]

    return played


def test_the_best_of_several_noises_is_a_mode_of_its_own(quick_prior, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(looping, "run_episodes", scripted(iter([0.2, 0.4, 0.6] * 3), seen.append))
    expert = drain(steer(TASK, quick_prior, replace(TINY, best_of=3), 0, tmp_path))
    assert [policy.mode for policy in seen[:3]] == ["mean", "sampled", "best"]
    assert (expert.mode, expert.validated, expert.actor.draws) == ("best", 0.6, 3)
    assert torch.equal(expert.actor.critic.weight, seen[2].expert.actor.critic.weight), "the critics of that time"
    assert not torch.equal(expert.actor.critic.weight, seen[5].expert.actor.critic.weight)
    assert rows(tmp_path)[-1]["validated_best"] == 0.6


def test_the_best_of_all_validations_and_modes_is_kept(quick_prior, tmp_path, monkeypatch):
    # Three validations, mean before sampled; the second one's samples are the best.
    actors = []
    played = scripted(
        iter([0.2, 0.3, 0.1, 0.8, 0.4, 0.5]),
        lambda policy: actors.append((policy.mode, policy.expert.actor.head.weight.clone())),
    )
    monkeypatch.setattr(looping, "run_episodes", played)
    expert = drain(steer(TASK, quick_prior, TINY, 0, tmp_path))
    assert len(actors) == 6
    assert (expert.mode, expert.validated) == ("sampled", 0.8)
    assert torch.equal(expert.actor.head.weight, actors[3][1])
    assert not torch.equal(expert.actor.head.weight, actors[5][1])


def test_segments_hold_an_episode_of_every_environment(quick_prior, tmp_path):
    drain(steer(TASK, quick_prior, replace(TINY, num_envs=16, segment_env_steps=10), 0, tmp_path))
    validated = [row["step"] for row in rows(tmp_path) if "validated_mean" in row]
    assert [step // (16 * TASK.horizon) for step in validated] == [1, 1], "640 steps, and the rest"


def test_it_stops_early_at_the_wanted_success(quick_prior, tmp_path):
    drain(steer(TASK, quick_prior, replace(TINY, stop_at=0.0), 0, tmp_path))
    assert 400 <= rows(tmp_path)[-1]["step"] < 600


def test_a_lucky_validation_is_found_out_by_twice_as_many_other_episodes(quick_prior, tmp_path, monkeypatch):
    # Mean, again in more episodes, sampled; then the same of the second checkpoint, which is as good as it seems.
    played = scripted(iter([1.0, 0.85, 0.3, 0.9, 0.95, 0.2]), lambda policy: None)
    monkeypatch.setattr(looping, "run_episodes", played)
    expert = drain(steer(TASK, quick_prior, replace(TINY, stop_at=0.9), 0, tmp_path))
    assert (expert.mode, expert.validated) == ("mean", 0.95)
    validations = [row for row in rows(tmp_path) if "validated_mean" in row]
    assert [(row["validated_mean"], row["validated_sampled"]) for row in validations] == [(0.85, 0.3), (0.95, 0.2)]
    once = TINY.validation_episodes
    assert [(row["episodes_mean"], row["episodes_sampled"]) for row in validations] == [(2 * once, once)] * 2


def test_validation_waits_for_success_in_training_but_for_the_last(quick_prior, tmp_path):
    drain(steer(TASK, quick_prior, replace(TINY, validate_from=1.1), 0, tmp_path))
    validations = [row for row in rows(tmp_path) if "validated_mean" in row]
    assert [row["step"] >= TINY.env_steps for row in validations] == [True]


def test_where_training_never_succeeds_enough_its_best_segment_is_validated_in_the_end(
    quick_prior, tmp_path, monkeypatch
):
    successes, actors = iter([0.1, 0.6, 0.3]), []
    segment = looping._Run.segment

    def staged(self):
        yield from segment(self)
        success = next(successes)
        self.recent.outcomes = [[i < 10 * success for i in range(10)]]
        seen.append(self.learner.agent.average_actor.head.weight.clone())

    seen = []
    played = scripted(iter([0.5, 0.7, 0.4, 0.4]), lambda policy: actors.append(policy.expert.actor.head.weight.clone()))
    monkeypatch.setattr(looping, "run_episodes", played)
    monkeypatch.setattr(looping._Run, "segment", staged)
    expert = drain(steer(TASK, quick_prior, replace(TINY, validate_from=0.9), 0, tmp_path))
    assert [torch.equal(actor, seen[i]) for actor, i in zip(actors, [1, 1, 2, 2], strict=True)] == [True] * 4
    assert (expert.mode, expert.validated) == ("sampled", 0.7)
    assert [row["validation_env_steps"] for row in rows(tmp_path) if "validated_mean" in row] == [600, 1200]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_envs": 1}, r"updates_per_decision \(0\.25\) is less than one update a round of 1 environments"),
        ({"algorithm": "ppo", "ppo": replace(TINY.ppo, rounds=200)}, r"rounds puts the first update at env step 1600"),
        ({"demo_share": 0.1, "noise_rank": 1}, r"steer\.demo_share does not fit steer\.noise_rank 1"),
    ],
)
def test_what_leaves_nothing_to_learn_is_refused(quick_prior, tmp_path, changes, said):
    with pytest.raises(UsageError, match=said):
        drain(steer(TASK, quick_prior, replace(TINY, **changes), 0, tmp_path, demos=point_demos(4, 0)))


def test_warm_up_acts_with_clipped_normal_noise(quick_prior, tmp_path, monkeypatch):
    decoded, updates = [], []
    decode = DiffusionPrior.decode

    def recorded(self, observation, noise):
        decoded.append(noise)
        return decode(self, observation, noise)

    monkeypatch.setattr(DiffusionPrior, "decode", recorded)
    monkeypatch.setattr(SacAgent, "update", lambda self, batch, learning_rate: updates.append(batch))
    config = replace(TINY, num_envs=64, warmup_env_steps=4_000, env_steps=5_000, segment_env_steps=3_000)
    for _ in zip(range(1), steer(TASK, quick_prior, config, 0, tmp_path), strict=False):
        pass
    noise = torch.stack(decoded)
    assert noise.numel() > 5_000
    assert float(noise.abs().max()) == config.noise_bound
    inside = noise[noise.abs() < config.noise_bound]
    # N(0, 1) leaves ±1.5 in 13.4% of draws; within, its deviation is .743.
    assert inside.numel() / noise.numel() == pytest.approx(0.866, abs=0.02)
    assert float(inside.std()) == pytest.approx(0.743, abs=0.02)
    assert updates == []


def test_the_warm_up_goes_on_until_the_prior_has_succeeded(quick_prior, tmp_path, monkeypatch):
    add, explore = Replay.add, SacAgent.explore
    added, explored, learned = [], [], []

    def late(self):  # 20 rounds of 8 environments and 4 steps; the warm-up itself has 7
        return torch.zeros(int(len(added) >= 20), dtype=torch.long)

    monkeypatch.setattr(Replay, "add", lambda self, *arrays: added.append(1) or add(self, *arrays))
    monkeypatch.setattr(Replay, "successes", late)
    monkeypatch.setattr(SacAgent, "explore", lambda self, seen: explored.append(1) or explore(self, seen))
    monkeypatch.setattr(SacAgent, "update", lambda self, batch, rate: learned.append(1) or {})
    drain(steer(TASK, quick_prior, replace(TINY, stop_at=2.0), 0, tmp_path))
    assert len(added) > 30
    assert len(explored) == len(added) - 20
    assert len(learned) == len(explored) * TINY.updates_per_round


def test_replay_gets_success_as_reward_and_the_true_end_of_every_episode(prior, tmp_path, monkeypatch):
    outcomes, added = [], []
    step, add = DecisionProcess.step, Replay.add

    def recorded_step(self, noise):
        decision = step(self, noise)
        outcomes.append(decision.outcome)
        return decision

    def recorded_add(self, *arrays):
        added.append(arrays)
        add(self, *arrays)

    monkeypatch.setattr(DecisionProcess, "step", recorded_step)
    monkeypatch.setattr(Replay, "add", recorded_add)
    drain(steer(TASK, prior, TINY, 0, tmp_path))
    assert len(outcomes) == len(added)
    for outcome, (_, action, reward, next_observation, terminated, truncated, success) in zip(
        outcomes, added, strict=True
    ):
        assert float(action.abs().max()) <= 1
        assert reward.tolist() == outcome.success.tolist() == success.tolist()
        assert terminated.tolist() == outcome.terminated.tolist()
        assert truncated.tolist() == outcome.truncated.tolist()
        assert torch.equal(next_observation, prior.normalize(torch.from_numpy(outcome.next_observation)))
    assert any(outcome.success.any() for outcome in outcomes)
    assert any(outcome.truncated.any() for outcome in outcomes)


def test_no_return_crosses_from_one_segment_to_the_next(quick_prior, tmp_path, monkeypatch):
    ends = []

    def recorded(self):
        newest = (self.rounds - 1) % self.capacity
        ends.append(self._data["terminated"][newest] | self._data["truncated"][newest])
        return {}

    monkeypatch.setattr(Replay, "state", recorded)
    drain(steer(TASK, quick_prior, TINY, 0, tmp_path))
    assert len(ends) == 3
    assert all(bool(end.all()) for end in ends)


def test_successes_get_their_share_once_there_are_enough(prior, tmp_path, monkeypatch):
    seen = []
    sample = Replay.sample

    def recorded(self, size, n_step, gamma, generator, success_share=0.0):
        seen.append((len(self.successes()), success_share, size, n_step, gamma))
        return sample(self, size, n_step, gamma, generator, success_share)

    monkeypatch.setattr(Replay, "sample", recorded)
    config = replace(TINY, success_minimum=20, success_share=0.25)
    drain(steer(TASK, prior, config, 0, tmp_path))
    assert {share for held, share, *_ in seen if held < 20} == {0.0}
    assert {share for held, share, *_ in seen if held >= 20} == {0.25}
    assert {tuple(rest) for _, _, *rest in seen} == {(16, config.agent.n_step, config.agent.discount**4)}


@pytest.mark.parametrize("name", ["critic_loss", "actor_loss"])
def test_a_loss_that_is_not_finite_stops_and_dumps_its_batch(quick_prior, tmp_path, monkeypatch, name):
    update, batches = SacAgent.update, []

    def broken(self, batch, learning_rate):
        batches.append(batch)
        health = update(self, batch, learning_rate)
        return health | {name: torch.tensor(float("nan"))} if len(batches) == 30 else health

    monkeypatch.setattr(SacAgent, "update", broken)
    with pytest.raises(TrainingError, match=rf"{name} is not finite at env step \d+; its batch is in .*") as caught:
        drain(steer(TASK, quick_prior, TINY, 0, tmp_path))
    assert "\n" not in str(caught.value)
    dumped, about = load_checkpoint(tmp_path / "bad_batch.safetensors", "bad-batch", 1)
    assert about["metric"] == name
    assert torch.equal(dumped["observation"], batches[-1].observation)
    assert not (tmp_path / "expert.safetensors").exists()
    # Without the fault the run goes on from its last segment and ends as if nothing had been.
    monkeypatch.setattr(SacAgent, "update", update)
    drain(steer(TASK, quick_prior, TINY, 0, tmp_path))
    drain(steer(TASK, quick_prior, TINY, 0, tmp_path / "whole"))
    assert rows(tmp_path) == rows(tmp_path / "whole")


def test_a_saved_state_of_another_shape_is_refused(quick_prior, tmp_path):
    loop = steer(TASK, quick_prior, TINY, 0, tmp_path)
    while not (tmp_path / "state.safetensors").exists():
        next(loop)
    wider = replace(TINY, sac=replace(TINY.sac, width=48))
    with pytest.raises(FileError, match=r"state\.safetensors: tensor .* has shape"):
        drain(steer(TASK, quick_prior, wider, 0, tmp_path))


@pytest.mark.parametrize("algorithm", ["sac", "fast-td3", "aliasing", "ppo"])
def test_stopped_between_two_steps_it_goes_on_to_the_same_result(quick_prior, tmp_path, algorithm):
    # As at Ctrl-C: the loop is closed where it stands.
    config = replace(TINY, algorithm=algorithm)
    for _ in range(200):
        loop = steer(TASK, quick_prior, config, 0, tmp_path / "stopped")
        for _ in zip(range(40), loop, strict=False):
            pass
        loop.close()
        if (tmp_path / "stopped" / "expert.safetensors").exists():
            break
    drain(steer(TASK, quick_prior, config, 0, tmp_path / "whole"))
    assert rows(tmp_path / "stopped") == rows(tmp_path / "whole")
    experts = [Expert.load(tmp_path / name / "expert.safetensors") for name in ("stopped", "whole")]
    assert all(
        torch.equal(tensor, experts[1].actor.state_dict()[n]) for n, tensor in experts[0].actor.state_dict().items()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_envs": 0}, r"steer\.num_envs must be at least 1, not 0"),
        ({"env_steps": -5}, r"steer\.env_steps must be at least 1, not -5"),
        ({"warmup_env_steps": 0}, r"steer\.warmup_env_steps must be at least 1"),
        ({"env_steps": 16_000}, r"steer\.warmup_env_steps \(16000\) must be less than steer\.env_steps \(16000\)"),
        ({"validation_episodes": 0}, r"steer\.validation_episodes must be at least 1"),
        ({"success_minimum": 0}, r"steer\.success_minimum must be at least 1"),
        ({"noise_bound": 0.0}, r"steer\.noise_bound must be positive, not 0\.0"),
        ({"noise_around_prior": True, "algorithm": "aliasing"}, r"steer\.noise_around_prior does not fit"),
        ({"best_of": 0}, r"steer\.best_of must be at least 1, not 0"),
        (
            {"best_of": 4, "algorithm": "fast-td3"},
            r"best_of does not fit steer\.algorithm fast-td3, which draws no noi",
        ),
        ({"best_of": 4, "algorithm": "ppo"}, r"best_of does not fit steer\.algorithm ppo, which has no critics"),
        ({"noise_rank": -1}, r"steer\.noise_rank must not be negative, not -1"),
        ({"noise_bound": float("nan")}, r"steer\.noise_bound must be positive, not nan"),
        ({"updates_per_decision": -1.0}, r"steer\.updates_per_decision must be positive"),
        ({"demo_share": 1.0}, r"steer\.demo_share must lie in \[0, 1\)"),
        ({"demo_share": 0.2, "algorithm": "ppo"}, r"steer\.demo_share does not fit steer\.algorithm ppo"),
        ({"demo_share": 0.2, "noise_around_prior": True}, r"steer\.demo_share does not fit steer\.noise_around_prior"),
        ({"success_share": 1.0}, r"steer\.success_share must lie in \[0, 1\)"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        SteerConfig(**changes)
    assert "\n" not in str(caught.value)


def test_the_learning_rate_falls_in_the_second_half():
    config = SteerConfig(env_steps=1000, warmup_env_steps=100)
    rates = [config.rate_at(step) for step in (0, 500, 750, 1000, 1100)]
    assert rates == pytest.approx([1, 1, 0.5, 0.1, 0.1])
