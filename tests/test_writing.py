"""Programs by a model, from the prompt to the folder, against a real HTTP server; then again without it."""

import base64
import json
from pathlib import Path

import pytest

from expertgen.cli import main
from expertgen.demos.store import DemoSet
from expertgen.demos.writing.prompt import feedback, task_prompt
from expertgen.pipeline import trials
from expertgen.pipeline.trials import try_program
from tests.model_server import Reply, refused, said, serving
from tests.toys import PointEnv, point_task

pytest.importorskip("openai", reason="needs the extra llm")

TOY = "tests.test_pipeline:POINT"
KEY = "sk-secret-0123456789"
GOLDEN = Path(__file__).with_name("writing_prompt.md")


def program(gain, doing="Goes straight to the goal."):
    return f'''"""{doing}"""


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        return {gain} * (observation["goal_position"] - observation["point_position"])
'''


def fenced(source):
    return f"Like this:\n\n```python\n{source}```\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return tmp_path


def write(server, *words):
    url = ["--base-url", server.url] if server else []
    few = ["--model", "toy", "--episodes", "8", "--timeout", "20", "--retries", "1"]
    return main(["demos", "write", TOY, *url, *few, *words])


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_asks_until_it_is_good_enough_and_replays_without_a_model(folder, capsys):
    script = (
        said("I would rather talk about the weather."),
        said(fenced("import nonsense_module\n" + program(10))),
        said(fenced(program(0.1, "Creeps."))),
        said(fenced(program(10))),
        said(fenced(program(10, f"Knows {KEY}, goes straight, too."))),
    )
    with serving(*script) as server:
        assert (
            write(server, "--rounds", "5", "--programs", "2", "--out", "first", "--price-in", "1", "--price-out", "2")
            == 0
        )
    shown = capsys.readouterr().out
    assert "500 in prompts, 100 in answers, cost 0.0007" in shown
    assert "--program first/best/program-1.py first/best/program-2.py" in shown
    turns = [body["messages"] for _, _, body in server.requests]
    assert [len(messages) for messages in turns] == [2, 4, 6, 8, 2]
    told = [messages[-1]["content"] for messages in turns]
    assert "I could not find a program in your answer: it has none" in told[1]
    assert "program.py, line 1: ModuleNotFoundError: No module named 'nonsense_module'" in told[2]
    assert str(folder) not in "".join(told)
    assert "Your program succeeded in 0 of 8 episodes (0%; 95% interval 0% to 32%)" in told[3]
    assert "- Goes straight to the goal. (success 100%)" in told[4]
    first = folder / "first"
    assert (first / "best/program-1.py").read_text() == program(10)
    assert (first / "program-1/round-1/answer.md").read_text() == "I would rather talk about the weather."
    assert not (first / "program-1/round-1/program.py").exists()
    summary = json.loads((first / "trials.json").read_text())
    assert [(row["program"], row["round"], row["kept"], row["success"]) for row in summary["versions"]] == [
        (1, 1, False, None), (1, 2, False, 0.0), (1, 3, False, 0.0), (1, 4, True, 1.0), (2, 1, True, 1.0)
    ]  # fmt: skip
    assert all(KEY.encode() not in content for content in files(first).values())

    assert main(["demos", "write", "--replay", "first", "--out", "second"]) == 0
    assert files(folder / "second") == files(first)
    assert main(["demos", "collect", TOY, "--program", *summary_of_best(first), "--episodes", "6"]) == 0
    demos = DemoSet.load(folder / "demos/toy-point.h5").demos
    assert [demo.source for demo in demos] == ["program-1.py"] * 3 + ["program-2.py"] * 3


def summary_of_best(folder):
    return [str(path) for path in sorted((folder / "best").iterdir())]


def test_a_refusal_is_kept_and_the_folder_continued(folder, capsys):
    with serving(said(fenced(program(0.1))), refused(429, f"slow down, {KEY}"), refused(429, "slow down")) as server:
        assert write(server, "--rounds", "3", "--programs", "1", "--out", "run") == 1
    error = capsys.readouterr().err
    assert (
        error
        == f"expertgen: {server.url} limits the rate, tried 2 times (429: slow down); wait, then go on with --resume\n"
    )
    run = folder / "run"
    assert "slow down" in (run / "program-1/round-2/received.txt").read_text()
    assert not (run / "best").exists()
    config = json.loads((run / "config.json").read_text())
    with serving(said(fenced(program(10)))) as server:
        config["model"]["base_url"] = server.url
        (run / "config.json").write_text(json.dumps(config))
        assert main(["demos", "write", "--resume", "run"]) == 0
    assert len(server.requests) == 1
    assert (run / "best/program-1.py").read_text() == program(10)
    assert all(KEY.encode() not in content for content in files(run).values())


@pytest.mark.parametrize(
    ("reply", "code", "said_", "kept"),
    [
        (refused(401, f"wrong key {KEY}"), 2, "refuses the key in OPENAI_API_KEY (401: wrong key [key])", "[key]"),
        (refused(404, "no such model"), 2, "has no model 'toy' (404: no such model)", "no such model"),
        (Reply('{"choices": [{"mess'), 1, 'does not answer as openai does; it sent: {"choices": [{"mess', '{"choices"'),
    ],
)
def test_errors_are_one_line_and_what_came_is_kept(folder, capsys, reply, code, said_, kept):
    with serving(reply, reply) as server:
        assert write(server, "--out", "run") == code
    error = capsys.readouterr().err
    assert said_ in error
    assert error.count("\n") == 1
    assert kept in (folder / "run/program-1/round-1/received.txt").read_text()


def test_a_budget_of_tokens(folder, capsys):
    with serving(*[said(fenced(program(0.1)))] * 5) as server:
        assert write(server, "--rounds", "5", "--token-budget", "200", "--out", "run") == 0
    assert len(server.requests) == 2
    assert "no version ever succeeded" in capsys.readouterr().out


WRONG = {
    "no task": ([], "which task?"),
    "no model": ([TOY], "which model? Name it with --model"),
    "no success rule": (["hopper", "--model", "toy"], "task 'hopper' has no success rule"),
    "no picture": ([TOY, "--model", "toy", "--frame"], "task 'toy-point' cannot be pictured"),
    "no rounds": ([TOY, "--model", "toy", "--rounds", "0"], "rounds must be at least 1, not 0"),
    "provider": ([TOY, "--provider", "someone"], "invalid choice"),
    "nothing to resume": (["--resume", "nowhere"], "nowhere/config.json does not exist"),
    "nothing to replay": (["--replay", "nowhere"], "nowhere/config.json does not exist"),
    "both": (["--resume", "a", "--replay", "b"], "exclude each other"),
    "other settings": (["--resume", "a", "--rounds", "2"], "--resume a goes on with the settings in that folder"),
    "taken": ([TOY, "--model", "toy", "--out", "taken"], "--out taken exists already"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_usage(folder, capsys, kind):
    (folder / "taken").mkdir()
    (folder / "taken/file").write_text("")
    words, message = WRONG[kind]
    assert main(["demos", "write", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(files(folder)) == ["taken/file"]


def test_no_key(monkeypatch, capsys, folder):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert write(None) == 2
    assert "no key: set OPENAI_API_KEY in the environment" in capsys.readouterr().err
    assert not files(folder)


def test_a_sandbox_that_does_not_work_is_no_program_s_fault(monkeypatch, folder, capsys):
    monkeypatch.setattr(trials, "_HARMLESS", "1 / 0\n")  # stands for whatever ends its process
    with serving() as server:
        assert write(server, "--out", "run") == 2
    assert not server.requests
    assert "the sandbox does not work here (harmless.py, line 1: ZeroDivisionError" in capsys.readouterr().err
    assert not files(folder)


def test_dry_run_prints_the_prompt_and_writes_nothing(monkeypatch, folder, capsys):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert main(["demos", "write", TOY, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "# Task: toy-point" in shown
    assert "```python" in shown
    assert "| goal_position | 2 | m | base | Where it has to go. |" in shown
    assert not files(folder)


def test_the_prompt_says_what_it_said():
    """A change of the prompt is to be seen; write the file anew where it is meant."""
    starts, _ = PointEnv(4).reset(seed=0)
    assert task_prompt(point_task(), starts, [("Waits.", 0.25)]) == GOLDEN.read_text()


def test_feedback_says_where_episodes_stalled(folder):
    path = folder / "program.py"
    path.write_text(
        "class Program:\n"
        "    def reset(self, seed): self.count = 0\n"
        "    def act(self, observation):\n"
        "        self.count += 1\n"
        "        if self.count > 30 and observation['goal_position'][0] > 0: return [0, float('nan')]\n"
        "        return [1, 0] if self.count <= 5 else [0, 0]\n"
    )
    trial = try_program(path, point_task_of_registry(), 8, 0)
    text = feedback(trial, 1, pictured=True)
    assert trial.successes == 0
    assert 0 < sum(trial.failures.values()) < 8
    assert "program.py, line 3: act returned a value that is not finite: [0.0, nan]" in text
    (distance,), (motion,) = trial.distances, trial.motions
    assert (distance.first, distance.second) == ("point_position", "goal_position")
    assert distance.least <= min(distance.start, distance.end)
    assert motion.field == "point_position"
    assert motion.last_step == 4
    assert motion.farthest == pytest.approx(0.5, abs=0.3)
    assert "for the last time at step 4" in text
    assert "This is the last version you can give" in text
    assert "The picture shows" in text
    assert text.count("| 1.00 0.00") >= 1 or "1.00 0.00" in text


def point_task_of_registry():
    from expertgen.tasks.registry import get_task

    return get_task(TOY)


def test_a_model_that_sees_is_shown_how_a_failed_episode_ended(folder):
    pytest.importorskip("metaworld", reason="the extra 'vision' is not installed")
    still = "class Program:\n    def reset(self, seed): pass\n    def act(self, observation): return [0, 0, 0, 0]\n"
    with serving(said(fenced(still)), said(fenced(still)), said(fenced(still))) as server:
        words = ["--model", "toy", "--base-url", server.url, "--episodes", "1", "--rounds", "3", "--programs", "1"]
        assert main(["demos", "write", "reach", *words, "--frame", "--out", "run"]) == 0
    contents = [[message["content"] for message in body["messages"]] for _, _, body in server.requests]
    picture = contents[1][-1][1]["image_url"]["url"].removeprefix("data:image/png;base64,")
    kept = (folder / "run/program-1/round-2/frame.png").read_bytes()
    assert base64.b64decode(picture) == kept
    assert kept.startswith(b"\x89PNG")
    assert "The picture shows how a failed episode ended" in contents[1][-1][0]["text"]
    assert [type(content) for content in contents[2]] == [str, str, str, str, str, list]  # the newest one alone
