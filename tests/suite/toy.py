"""A toy kind of run: counts for a while, writes a curve, and goes on where it was when it is killed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np

from expertgen.errors import UsageError
from expertgen.runs.files import read_json, write_json
from expertgen.runs.progress import StageProgress
from expertgen.suite.kinds import Kind
from expertgen.suite.table import Point

DEFAULTS = {"steps": 10, "pause": 0.0, "skill": 0.8, "fail_at": None, "abort_at": None}


def resolve(settings: dict) -> dict:
    for key in settings:
        if key not in (*DEFAULTS, "task", "seed"):
            raise UsageError(f"unknown setting {key!r}")
    if not settings["task"].startswith("toy"):
        raise UsageError(f"unknown task {settings['task']!r}")
    measure = "return" if "return" in settings["task"] else "success"
    return {**DEFAULTS, **settings, "measure": measure}


def run(settings: dict, folder: Path, common: Path):
    """Every step is saved; the value of a step depends on task, seed and step alone."""
    path = folder / "count.json"
    done = read_json(path)["done"] if path.exists() else 0
    (folder / "starts.txt").parent.mkdir(parents=True, exist_ok=True)
    with (folder / "starts.txt").open("a") as file:
        cores = sorted(os.sched_getaffinity(0))
        file.write(json.dumps({"pid": os.getpid(), "cores": cores, "from": done}) + "\n")
    while done < settings["steps"]:
        if done == settings["fail_at"]:
            print("something is about to break")
            raise ValueError("the toy\nbroke")
        if done == settings["abort_at"]:
            os.abort()
        time.sleep(settings["pause"])
        done += 1
        write_json(path, {"done": done})
        yield StageProgress("count", done, settings["steps"], "steps", {"success": value(settings, done)})


def read(settings: dict, folder: Path) -> list[Point]:
    points = [
        Point("curve", 10 * step, 0.5 * step, settings["measure"], value(settings, step), None)
        for step in range(1, settings["steps"] + 1)
    ]
    last = points[-1]
    return [*points, Point("final", last.env_steps, last.seconds, last.measure, last.value, 16)]


def value(settings: dict, step: int) -> float:
    level = settings["skill"] * (1 - np.exp(-4 * step / settings["steps"]))
    shake = np.random.default_rng([settings["seed"], len(settings["task"]), step]).uniform(-0.05, 0.05)
    scale = 1 if settings["measure"] == "success" else 1000
    return scale * round(float(np.clip(level + shake, 0, 1)), 4)


KIND = Kind(resolve, run, read)
