"""What the pages print works: the first Python snippet of each, only smaller, and the files of settings."""

import re
from pathlib import Path

import numpy as np
import pytest

from expertgen.cli.options import resolve
from expertgen.demos.store import Demo, DemoSet, fields_of
from expertgen.prior.prior import DiffusionPrior, PriorConfig
from expertgen.rl.networks import TanhGaussianActor
from expertgen.rl.sac import SacConfig
from expertgen.runs.files import write_json
from expertgen.steering.expert import Expert
from expertgen.steering.noise import NoiseSpace
from expertgen.suite.plan import built_in_suites, find_suite, members
from expertgen.tasks.registry import get_task

pytest.importorskip("metaworld", reason="the extra 'vision' is not installed")
pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
pytest.importorskip("jinja2", reason="the extra 'report' is not installed")

DOCS = Path(__file__).parents[1] / "docs"
SMALL = {
    "episodes=256": "episodes=2",
    "episodes=128": "episodes=2",
    "num_envs=64": "num_envs=2",
    "(task, 64)": "(task, 2)",
    "PriorConfig(width=256)": "PriorConfig(iterations=2, batch_size=8, width=8)",
    "LoopConfig()": (
        "LoopConfig(num_envs=8, env_steps=400, segment_env_steps=400, warmup_env_steps=100, validation_episodes=8)"
    ),
    "DistillConfig()": "DistillConfig(iterations=1, final_iterations=1, decisions=4, num_envs=2, updates=2, "
    "batch_size=4, width=16, points=32, train_points=16)",
}
"""What is printed → what stands for it here."""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """The files that the pages take for granted, in the working directory."""
    random = np.random.default_rng(0)
    for name, path in (("peg-insert-side", "runs/peg-insert-side-0/demos/demos.h5"), ("adroit-door", "door.h5")):
        task, steps = get_task(name), 9
        observations = random.normal(size=(steps, task.observation_size)).astype(np.float32)
        actions = random.uniform(-1, 1, (steps, task.action_size)).astype(np.float32)
        demos = (Demo(observations, actions, np.zeros(steps, np.float32), True, 0, "test"),)
        DemoSet(task.id, fields_of(task), demos, ()).save(tmp_path / path)
    priors = {name: DiffusionPrior(name, PriorConfig(width=8), 39, 4) for name in ("peg-insert-side", "assembly")}
    priors["peg-insert-side"].save(tmp_path / "runs/peg-insert-side-0/prior/prior.safetensors")
    expert = Expert(
        priors["assembly"], TanhGaussianActor(39, 16, 8, 2), SacConfig(width=8, depth=2), NoiseSpace(), "mean", 0.9
    )
    expert.save(tmp_path / "runs/assembly-0/expert/expert.safetensors")
    write_json(tmp_path / "runs/peg-insert-side-0/run.json", {"task": "peg-insert-side"})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "page", ["demos", "prior", "baselines", "distill", "vision", "evaluation", "robustness", "report", "tasks"]
)
def test_the_pages_first_snippet_runs(page, workplace):
    code = block(page, "python")
    for printed, small in SMALL.items():
        code = code.replace(printed, small)
    found = {}
    exec(compile(code, f"{page}.md", "exec"), found)
    if page == "evaluation":
        assert found["evaluation"].episodes == 2
    if page == "robustness":
        assert len(found["episodes"]) == 2
    if page == "report":
        assert (workplace / "runs/peg-insert-side-0/report.html").exists()


def test_the_file_of_settings_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(block("getting_started", "yaml"))
    config = resolve(["assembly", "--config", "my.yaml"], "run")[1]
    assert (config.prior.chunk_length, config.steer.noise_bound, config.steer.sac.width) == (8, 1.0, 256)


def test_the_file_of_a_suite_is_read(tmp_path):
    (tmp_path / "mine.yaml").write_text(block("suite", "yaml"))
    assert len(members(find_suite(str(tmp_path / "mine.yaml")))) == 18


def test_the_page_of_suites_counts_their_runs():
    page = (DOCS / "suite.md").read_text(encoding="utf-8")
    for name in built_in_suites():
        suite = find_suite(name)
        runs = len(suite.tasks) * len(suite.methods) * len(suite.seeds)
        assert re.search(rf"^\| `{name}` \|.*\| {len(suite.seeds)} \| {runs} \|$", page, flags=re.MULTILINE), name


def block(page: str, language: str) -> str:
    """The first block of code in a language."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)[0]
