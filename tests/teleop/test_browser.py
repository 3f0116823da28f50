"""From end to end: a person in a browser opens the drawer, reloads the page, and finds the episodes in the file."""

from __future__ import annotations

import pytest

pytest.importorskip("websockets", reason="the extra 'serve' is not installed")
pytest.importorskip("metaworld", reason="the extra 'vision' is not installed")

from expertgen.demos.store import DemoSet
from tests.teleop.browser import CHROMIUM, Browser, wait_for
from tests.teleop.person import Person
from tests.teleop.serving import Serving, unfinished

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

PIXELS = """(() => {
  const data = document.getElementById("ID").getContext("2d").getImageData(0, 0, 160, 120).data;
  return new Set(data).size;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("chromium"))
    yield one
    one.close()


@pytest.fixture
def serve():
    """Starts servers; none outlives the test."""
    servers = []

    def start(*words):
        servers.append(Serving("--horizon", "400", *words))  # a person who reacts late needs more than 200
        return servers[-1]

    yield start
    for one in servers:
        one.kill()


def ready(page):
    wait_for(lambda: page.text("#headline") == "Ready")


def steps(page):
    return page.evaluate("state.steps")


def test_a_person_opens_the_drawer(browser, serve, tmp_path):
    path = tmp_path / "drawer.h5"
    serving = serve("--out", str(path), "--episodes", "2")
    page = browser.open(serving.address)
    ready(page)
    wait_for(lambda: page.evaluate(PIXELS.replace("ID", "picture")) > 100)  # there is something to see
    person = Person(page)

    assert "success" in person.open_drawer()
    wait_for(lambda: not page.evaluate("document.getElementById('film').hidden"))
    page.press("KeyK")
    ready(page)
    assert page.text("#kept") == "1"
    assert "Kept as a success" in page.text("#note")

    person.open_drawer(steps=6)
    page.reload()
    wait_for(lambda: page.text("#headline") == "Paused")
    before = steps(page)
    assert before > 5
    person = Person(page)
    assert "success" in person.open_drawer()
    assert steps(page) > before
    page.click("#keep")
    ready(page)
    assert page.text("#kept") == "2"

    person.open_drawer(steps=6)
    wait_for(unfinished(path).exists)
    second = browser.open(serving.address)
    wait_for(lambda: second.text("#headline") == "Somebody else is at the controls")
    second.close()
    serving.kill()

    again = serve("--out", str(path))
    page.call("Page.navigate", url=again.address)
    wait_for(lambda: page.text("#headline") == "Paused")
    assert "were brought back" in page.text("#note")
    page.press("KeyX")
    ready(page)
    assert page.text("#kept") == "2"
    again.end()
    page.close()
    demos = DemoSet.load(path)
    assert [demo.success for demo in demos.demos] == [True, True]
    assert [demo.seed for demo in demos.demos] == [0, 1]
    assert not unfinished(path).exists()


def test_pads_buttons_and_gamepad_on_a_phone(browser, serve, tmp_path):
    serving = serve("--out", str(tmp_path / "drawer.h5"))
    page = browser.open(serving.address, 390, 844, mobile=True)
    ready(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.evaluate("(({x, y, width, height}) => [x, y, width, height])(plane.getBoundingClientRect())")
    assert box[1] + box[3] < 844  # the pads are there without scrolling
    hand = page.evaluate("state.fields.hand_position")
    point = [{"x": box[0] + 0.9 * box[2], "y": box[1] + box[3] / 2}]  # to the right, which is +y here
    page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=point)
    wait_for(lambda: page.evaluate("state.fields.hand_position[1]") > hand[1] + 0.05)
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    page.click("#gripper")
    wait_for(lambda: page.evaluate("state.fields.gripper_opening[0]") < 0.9)
    page.click("#views button:nth-child(3)")
    wait_for(lambda: page.text("#inset-name") == "above" and page.evaluate("state.views[0]") == 2)
    gamepad = "{connected: true, axes: [0, 0, 0, -1], buttons: []}"
    height = page.evaluate("state.fields.hand_position[2]")
    page.evaluate(f"navigator.getGamepads = () => [{gamepad}], 0")
    wait_for(lambda: page.evaluate("state.fields.hand_position[2]") > height + 0.03)
    page.evaluate("navigator.getGamepads = () => [], 0")
    page.click("#stop")
    wait_for(lambda: page.text("#headline") == "Stopped")
    page.click("#redo")
    ready(page)
    assert page.evaluate("state.fields.hand_position") == hand
    page.close()
    serving.end()
