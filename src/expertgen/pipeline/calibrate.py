"""How imperfect a demonstrator must be for its prior to be worth steering: a search over one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from expertgen.demos.calibrated import BAND, Calibration, imperfections_of, load_calibrations, save_calibrations
from expertgen.demos.scripted import find_script
from expertgen.evaluation.rollouts import run_episodes
from expertgen.evaluation.statistics import wilson_interval
from expertgen.pipeline.inputs import collect_demos
from expertgen.pipeline.settings import default_settings
from expertgen.prior.prior import PriorPolicy
from expertgen.prior.training import train_prior
from expertgen.runs.machine import available_cores, prepare_worker
from expertgen.runs.progress import StageProgress, drain
from expertgen.runs.seeding import derive_seed, torch_generator
from expertgen.tasks.registry import get_task, make_env

STRENGTHS = (0.125, 8.0)
"""The least and the largest strength tried."""

TRIALS = 7
"""Strengths tried at most."""


def calibrate_tasks(
    tasks: Sequence[str], path: Path, seed: int = 0, episodes: int = 256, workers: int | None = None
) -> Generator[StageProgress, None, dict[str, Calibration]]:
    """Calibrates the scripted demonstrators of tasks, each in a process of its own, and adds them to a file.

    Args:
        tasks: task ids; those that the file has already are left alone.
        path: the file; written anew after each task.
        seed: seed of demonstrations and priors, which differ from those of runs.
        episodes: episodes by which a prior's success is measured.
        workers: processes at a time; by default one a core.

    Yields:
        progress in tasks.

    Returns:
        everything in the file.

    Raises:
        UsageError: if a task has no scripted demonstrator.
    """
    for name in tasks:
        find_script(get_task(name))
    found = load_calibrations(path) if path.exists() else {}
    left = [name for name in tasks if name not in found]
    yield StageProgress("calibrate", len(tasks) - len(left), len(tasks), "tasks")
    processes = min(workers or available_cores(), max(1, len(left)))
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=prepare_worker) as pool:
        jobs = {pool.submit(calibrate_task, name, seed, episodes): name for name in left}
        for done, job in enumerate(as_completed(jobs), len(tasks) - len(left) + 1):
            found[jobs[job]] = job.result()
            save_calibrations(path, found)
            yield StageProgress("calibrate", done, len(tasks), "tasks")
    return found


def calibrate_task(task: str, seed: int, episodes: int) -> Calibration:
    """Finds a strength whose prior lies in the band.

    Args:
        task: task id.
        seed: seed of demonstrations and priors.
        episodes: episodes by which a prior's success is measured.
    """
    return search_strength(lambda strength: try_strength(task, strength, seed, episodes), episodes)


def search_strength(attempt: Callable[[float], tuple[float, float]], episodes: int) -> Calibration:
    """Tries strengths until a prior lies in the band: 1, by factors of 2 until the band is passed, then between.

    Args:
        attempt: from a strength to the success of demonstrations and of their prior.
        episodes: episodes behind the latter.

    Returns:
        the first calibration in the band, or the one that came nearest.
    """
    tried: list[tuple[float, float, float]] = []
    strength, too_good, too_bad = 1.0, None, None
    while len(tried) < TRIALS and STRENGTHS[0] <= strength <= STRENGTHS[1]:
        demos, prior = attempt(strength)
        tried.append((strength, demos, prior))
        if prior > BAND[1]:
            too_good = strength
        elif prior < BAND[0]:
            too_bad = strength
        else:
            break
        if too_good and too_bad:
            strength = math.sqrt(too_good * too_bad)
        else:
            strength *= 2 if too_good else 0.5
    strength, demos, prior = min(tried, key=lambda one: max(BAND[0] - one[2], one[2] - BAND[1], 0.0))
    interval = wilson_interval(round(prior * episodes), episodes)
    return Calibration(strength, demos, prior, *interval, episodes, tuple((s, p) for s, _, p in tried))


def try_strength(task: str, strength: float, seed: int, episodes: int) -> tuple[float, float]:
    """Collects demonstrations of a strength, and trains and plays a prior, all with the default settings.

    Returns:
        success of the demonstrations, and of the prior.
    """
    seed, spec = derive_seed(seed, "calibrate") % 2**31, get_task(task)
    config = default_settings(task)
    demonstrator = replace(config.demos, imperfections=imperfections_of(strength))
    demos = drain(collect_demos(spec, replace(config, seed=seed, demos=demonstrator)))
    with TemporaryDirectory() as folder:
        prior = drain(train_prior(demos, config.prior, seed, Path(folder)))
    policy = PriorPolicy(prior, torch_generator(seed, "prior", "evaluation"))
    num_envs = min(config.evaluation.num_envs, episodes)
    with closing(make_env(spec, num_envs, threads=available_cores())) as env:
        played = drain(run_episodes(env, policy, episodes, derive_seed(seed, "calibrate", "env") % 2**31, "calibrate"))
    return demos.successes / len(demos), sum(episode.success for episode in played) / len(played)
