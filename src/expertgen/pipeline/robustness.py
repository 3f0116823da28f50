"""How much disturbance the policies of a run bear: each plays the same episodes, undisturbed and disturbed."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

from expertgen.errors import FileError, UsageError, nearest
from expertgen.evaluation.perturbations import perturb, read_perturbations
from expertgen.evaluation.results import Results
from expertgen.evaluation.robustness import UNDISTURBED, Robustness, Trial
from expertgen.evaluation.rollouts import Episode, run_episodes
from expertgen.evaluation.seeds import EVALUATION_SEED
from expertgen.pipeline.measure import POLICY_FILES, WITH_CAMERAS, play_env, saved_policies
from expertgen.pipeline.settings import RunConfig
from expertgen.runs.config import overlay, read_yaml
from expertgen.runs.progress import StageProgress
from expertgen.tasks.registry import get_task


def measure_robustness(
    folder: Path, episodes: int, perturbations: Sequence[str] = (), policies: Sequence[str] = ()
) -> Generator[StageProgress, None, Robustness]:
    """Disturbs the policies of a run, and writes `robustness.json` after every trial.

    Trials that the file already holds are not played again, so a measurement that was killed goes on where it was, and
    others can be added to it.

    Args:
        folder: the run folder.
        episodes: held-out episodes of every trial.
        perturbations: `NAME` or `NAME=STRENGTH`; by default all that the task allows.
        policies: stages and controls; by default all but those in the students' simulator, if there are others.

    Returns:
        all trials of the file.

    Raises:
        FileError: if the folder is not a run folder, or files of it are broken or missing.
        UsageError: for a perturbation that the task does not allow, a policy that the run has not, and a number of
            episodes other than the file's.
    """
    made = Results.load(folder / "results.json")
    config = overlay(RunConfig(made.task), read_yaml(folder / "config.json"))
    task = get_task(config.task)
    disturbances = [(UNDISTURBED, 0.0), *read_perturbations(task, perturbations)]
    chosen = _check_policies(policies, made)
    digests = {name: _digest(folder / POLICY_FILES[name], name) for name in chosen}
    path, num_envs = folder / "robustness.json", min(config.evaluation.num_envs, episodes)
    robustness = Robustness(task.id, episodes, num_envs, EVALUATION_SEED)
    if path.exists():
        robustness = Robustness.load(path)
        if robustness.episodes != episodes:
            raise UsageError(
                f"{path} holds trials of {robustness.episodes} episodes, not {episodes}; "
                f"use --episodes {robustness.episodes}, or delete it"
            )
        for trial in robustness.trials:
            if trial.digest != digests.get(trial.policy, trial.digest):
                raise FileError(f"{path} holds trials of {trial.policy!r} before it was made anew; delete it")
    for with_cameras in (False, True):
        names = [name for name in chosen if (name in WITH_CAMERAS) == with_cameras]
        left = [(n, *d) for n in names for d in disturbances if robustness.find(n, *d) is None]
        if not left:
            continue
        with closing(play_env(task, num_envs, with_cameras)) as env:
            for done, (name, perturbation, strength) in enumerate(left):
                world = env if perturbation == UNDISTURBED else perturb(env, perturbation, strength)
                # Loaded anew for each trial, so that what a policy draws does not depend on what was played before.
                policy = saved_policies(folder, config, env)[name]
                loop = run_episodes(world, policy, episodes, EVALUATION_SEED)
                label = f"{name} {perturbation}={strength:g}"
                played = yield from _counted(loop, label, done * episodes, len(left) * episodes)
                outcomes = "".join(str(int(episode.success)) for episode in played)
                robustness = robustness.with_trial(Trial(name, perturbation, strength, outcomes, digests[name]))
                robustness.save(path)
    return robustness


def _digest(path: Path, name: str) -> str:
    """Of the file of a policy."""
    if not path.exists():
        raise FileError(f"{path} is missing, the file of {name!r}; name others with --policies")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _check_policies(asked: Sequence[str], made: Results) -> list[str]:
    known = [name for name in made.stages if name != "demos"]
    if not known:
        raise UsageError("this run has no policy yet; continue it with `expertgen run --resume`")
    for name in asked:
        if name not in known:
            raise UsageError(f"--policies: this run has no {name!r}{nearest(name, known)}; it has {', '.join(known)}")
    return list(dict.fromkeys(asked)) or [name for name in known if name not in WITH_CAMERAS] or known


def _counted(
    loop: Generator[StageProgress, None, list[Episode]], label: str, before: int, total: int
) -> Generator[StageProgress, None, list[Episode]]:
    """Shows a trial as a part of all of them."""
    while True:
        try:
            now = next(loop)
        except StopIteration as stop:
            return stop.value
        yield StageProgress("robustness", before + now.done, total, "episodes", {label: now.metrics["success"]})
