"""Teleoperation: cost of a picture, frame rate, latency, and what ten thousand malformed messages do to the server.

    python benchmarks/teleop.py [seconds]

First, what a large picture costs: CPU seconds of one core, of a drawer that is pulled open. Then a server in a process
of its own simulates drawer-open in real time, at the task's control rate: for a client that decodes nothing, which is
what server and connection take, and for a headless Chromium with the real page, which holds keys; its numbers are those
that the page shows, so they contain decoding and drawing. Latency is counted for every input: from its moment to the
first frame that shows it. Then 10 000 malformed messages come, each on a connection of its own. Rows are added to
teleop.csv, with the machine's load (processes that want a core) beside them.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from rows import HERE, append_row
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

sys.path.insert(0, str(HERE.parent))  # the tests' browser

from tests.teleop.browser import CHROMIUM, Browser, wait_for
from tests.teleop.serving import Serving
from tests.teleop.test_protocol import mangled

from expertgen.demos.scripted import find_script
from expertgen.runs.machine import available_cores
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.tasks.registry import get_task
from expertgen.teleop.pictures import HEIGHT, VIEWS, WIDTH, jpeg
from expertgen.teleop.protocol import ProtocolError, parse_message
from expertgen.vision.live import LiveShader
from expertgen.vision.scene import capture

TABLE = Path(__file__).with_suffix(".csv")
MALFORMED = 10_000


def picture_cost() -> tuple[float, float]:
    """CPU time of a large picture by `LiveShader`, drawn and compressed, and of the first one of a start [ms]."""
    task = get_task("drawer-open")
    env = MetaWorldEnv(task, 1)
    observation, _ = env.reset(seed=0)
    program, scenes, over = find_script(task).make_program(), [capture(env.datas[0])], False
    while not over:
        action = program.act(task.named(observation[0])).clip(-1, 1)
        observation, _, terminated, truncated, _ = env.step(action[None].astype(np.float32))
        scenes.append(capture(env.datas[0]))
        over = bool(terminated[0] or truncated[0])
    shader, camera = LiveShader(env.models[0]), replace(VIEWS[0].camera, width=WIDTH, height=HEIGHT)
    start = time.process_time()
    shader.frame(scenes[0], camera)
    first = time.process_time() - start
    start = time.process_time()
    for scene in scenes:
        jpeg(shader.frame(scene, camera, observation[0, 36:39]))
    return 1e3 * (time.process_time() - start) / len(scenes), 1e3 * first


def busy() -> float:
    """The machine's load: how many processes want a core."""
    return os.getloadavg()[0]


def in_browser(address: str, seconds: float, folder: Path) -> tuple[float, float]:
    """Frames per second and latency [ms, 95% of inputs], as the page shows them."""
    browser = Browser(folder)
    page = browser.open(address)
    wait_for(lambda: page.text("#headline") in ("Ready", "Paused"))
    end, found = time.monotonic() + seconds, []
    while time.monotonic() < end:
        for keys in (("KeyW", "KeyE"), ("KeyS", "KeyQ")):
            for key in keys:
                page.key(key, True)
            time.sleep(0.5)
            for key in keys:
                page.key(key, False)
        values = page.evaluate("({...document.getElementById('stats').dataset})")
        if values:
            found.append((float(values["rate"]), float(values["delay"])))
    page.close()
    browser.close()
    rates, delays = np.array(found).T
    return float(np.median(rates)), float(np.median(delays))


def without_browser(address: str, seconds: float) -> tuple[float, float, float]:
    """Frames per second, latency [ms, 95% of inputs] and bytes of a large picture."""
    host, token = address.split("/")[2], address.partition("token=")[2]
    delays, frames, sizes, pending = [], [], [], []
    with connect(f"ws://{host}/socket?token={token}", origin=f"http://{host}", compression=None) as socket:
        shown = False
        while not shown:
            message = socket.recv(timeout=60)
            shown = isinstance(message, str) and json.loads(message).get("shown", False)
        start = due = time.perf_counter()
        number = 0
        while (now := time.perf_counter()) < start + seconds:
            if now >= due:
                number, due = number + 1, due + 1 / 80
                wave = float(np.sin(3 * (now - start)))
                socket.send(json.dumps({"number": number, "action": [wave, wave / 2, -wave, -1]}))
                pending.append((number, now))
            try:
                message = socket.recv(timeout=max(0.0005, due - time.perf_counter()))
            except TimeoutError:
                continue
            if isinstance(message, bytes) and message[0] == 0:
                now = time.perf_counter()
                frames.append(now)
                sizes.append(len(message))
                while pending and pending[0][0] <= int.from_bytes(message[4:8], "little"):
                    delays.append(now - pending.pop(0)[1])
    rate = (len(frames) - 1) / (frames[-1] - frames[0])
    return rate, 1e3 * float(np.percentile(delays, 95)), float(np.mean(sizes))


def memory(process: int) -> float:
    """Resident memory of a process [MB]."""
    line = next(one for one in Path(f"/proc/{process}/status").read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def malformed_message(generator: random.Random) -> str | bytes:
    """One that the server does not understand: some mangling leaves a message as good as it was."""
    while True:
        message = mangled(generator)
        try:
            parse_message(message, 4, tuple(view.name for view in VIEWS))
        except ProtocolError:
            return message


def malformed(address: str, process: int) -> tuple[float, float]:
    """Sends malformed messages; returns memory after a tenth of them and after all [MB]."""
    host, token = address.split("/")[2], address.partition("token=")[2]
    generator, early = random.Random(0), 0.0
    for i in range(MALFORMED):
        with connect(f"ws://{host}/socket?token={token}", origin=f"http://{host}", compression=None) as socket:
            socket.send(malformed_message(generator))
            with suppress(ConnectionClosed):
                while True:
                    socket.recv(timeout=60)
        if i == MALFORMED // 10:
            early = memory(process)
    return early, memory(process)


def main() -> None:
    """Measures all of them and adds rows to the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0

    def row(what: str, value: float, unit: str) -> None:
        print(f"{what:45} {value:8.1f} {unit:10} load {busy():.1f}")
        append_row(TABLE, {"what": what, "value": value, "unit": unit, "load": busy(), "cores": available_cores()})

    cost, first = picture_cost()
    row("a picture, CPU time", cost, "ms")
    row("the first picture of a start, CPU time", first, "ms")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        serving = Serving("--out", str(folder / "drawer.h5"), "--pace", "1", "--horizon", "1000000")
        try:
            rate, delay, size = without_browser(serving.address, seconds)
            row("client, frame rate", rate, "frames/s")
            row("client, input to frame, 95% of inputs", delay, "ms")
            row("a large picture, compressed", size / 1024, "kB")
            if CHROMIUM:
                rate, delay = in_browser(serving.address, seconds, folder / "chromium")
                row("Chromium, frame rate", rate, "frames/s")
                row("Chromium, input to frame, 95% of inputs", delay, "ms")
        finally:
            serving.kill()
        # Another server, whose memory does not contain a long episode.
        serving = Serving("--out", str(folder / "another.h5"), "--pace", "1")
        try:
            early, late = malformed(serving.address, serving.process.pid)
            row("memory after 1000 malformed messages", early, "MB")
            row("memory after 10000 malformed messages", late, "MB")
            rate, _, _ = without_browser(serving.address, 5.0)
            row("client, frame rate after them", rate, "frames/s")
        finally:
            serving.kill()


if __name__ == "__main__":
    main()
