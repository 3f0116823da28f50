import pytest

from expertgen.demos.writing.answers import find_program, summary_of

PROGRAM = '"""Waits."""\n\n\nclass Program:\n    def act(self, o): return [0]\n'
OTHER = "class Program:\n    pass\n"

FOUND = {
    "fence": (f"Here you are:\n\n```python\n{PROGRAM}```\nGood luck!", PROGRAM),
    "no language": (f"```\n{PROGRAM}```", PROGRAM),
    "other language word": (f"```py title=a\n{PROGRAM}```", PROGRAM),
    "tildes": (f"~~~python\n{PROGRAM}~~~", PROGRAM),
    "long fence with a fence inside": (f"````python\n{PROGRAM}# ```\n````", PROGRAM + "# ```\n"),
    "windows": (f"```python\r\n{PROGRAM}```".replace("\n", "\r\n").replace("\r\r", "\r"), PROGRAM),
    "several": (f"First\n```python\n{OTHER}```\nbetter:\n```python\n{PROGRAM}```\n```sh\npip\n```", PROGRAM),
    "the sound one": (f"```python\n{PROGRAM}```\nor\n```python\nclass Program(:\n```", PROGRAM),
    "with a defect": ("```python\nclass Program(:\n```", "class Program(:\n"),
    "cut off": (f"```python\n{PROGRAM}    def reset(self", PROGRAM + "    def reset(self\n"),
    "bare": (PROGRAM, PROGRAM),
    "thoughts": (f"<think>```python\n{OTHER}```</think>\n```python\n{PROGRAM}```", PROGRAM),
    "prose": ("I am sorry, but I cannot write class Program for you.", None),
    "another block": ("```python\nprint(1)\n```", None),
    "nothing": ("", None),
    "only thoughts": (f"<think>```python\n{PROGRAM}```", None),
    "a class of another name": ("```python\nclass Programs:\n    pass\n```", None),
}


@pytest.mark.parametrize("kind", FOUND)
def test_finds_the_program(kind):
    text, found = FOUND[kind]
    assert find_program(text) == found


def test_summary():
    assert summary_of('"""Waits\nlong.\n\nAnd more."""\n') == "Waits long."
    assert summary_of("x = 1\n") == summary_of("class (") == ""
