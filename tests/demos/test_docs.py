import re
from dataclasses import replace
from pathlib import Path

from expertgen.demos.collect import collect
from expertgen.demos.program import load_program
from expertgen.runs.progress import drain
from expertgen.tasks.registry import get_task, make_env

PAGE = Path(__file__).parents[2] / "docs" / "demos.md"


def test_the_program_in_the_documentation_picks_up_the_puck(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    (program,) = [block for block in blocks if "class Program" in block]
    path = tmp_path / "pick.py"
    path.write_text(program, encoding="utf-8")
    task = replace(get_task("pick-place"), horizon=100)
    env = make_env(task, 6)
    demos = drain(collect(env, load_program(path, task), 6, 0, path.name))
    env.close()
    assert demos.successes >= 5
