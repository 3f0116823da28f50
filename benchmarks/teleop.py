"""Teleoperation: frame rate, latency from input to frame, and what ten thousand malformed messages do to the server.

    python benchmarks/teleop.py [seconds]

A server in a process of its own simulates drawer-open in real time, at the task's control rate. The first measurement
is a headless Chromium with the real page, which holds keys: both numbers are those that the page shows, so they contain
decoding and drawing. The second is a client that decodes nothing, which is what the server and the connection take.
Latency is counted for every input: from its moment to the first frame that shows it. Then 10 000 malformed messages
come, each on a connection of its own. Rows are added to teleop.csv.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rows import HERE, append_row
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

sys.path.insert(0, str(HERE.parent))  # the tests' browser

from tests.teleop.browser import CHROMIUM, Browser, wait_for
from tests.teleop.serving import Serving
from tests.teleop.test_protocol import mangled

from expertgen.runs.machine import available_cores

TABLE = Path(__file__).with_suffix(".csv")
MALFORMED = 10_000


def busy() -> float:
    """The machine's load: how many processes want a core."""
    return os.getloadavg()[0]


def in_browser(address: str, seconds: float, folder: Path) -> tuple[float, float, int]:
    """Frames per second, latency [ms, 95% of inputs] and number of inputs, as the page shows them."""
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
            found.append((float(values["rate"]), float(values["delay"]), int(values["inputs"])))
    page.close()
    browser.close()
    rates, delays, _ = np.array(found).T
    return float(np.median(rates)), float(np.median(delays)), len(found)


def without_browser(address: str, seconds: float) -> tuple[float, float, int, float]:
    """Frames per second, latency [ms, 95% of inputs], number of inputs and bytes per large frame."""
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
    return rate, 1e3 * float(np.percentile(delays, 95)), len(delays), float(np.mean(sizes))


def memory(process: int) -> float:
    """Resident memory of a process [MB]."""
    line = next(one for one in Path(f"/proc/{process}/status").read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def malformed(address: str, process: int) -> tuple[float, float]:
    """Sends malformed messages; returns memory after a tenth of them and after all [MB]."""
    host, token = address.split("/")[2], address.partition("token=")[2]
    generator, early = random.Random(0), 0.0
    for i in range(MALFORMED):
        with connect(f"ws://{host}/socket?token={token}", origin=f"http://{host}", compression=None) as socket:
            socket.send(mangled(generator))
            try:
                while socket.recv(timeout=0.05) is not None:
                    pass
            except (ConnectionClosed, TimeoutError):  # some mangling leaves a message as good as it was
                pass
        if i == MALFORMED // 10:
            early = memory(process)
    return early, memory(process)


def main() -> None:
    """Measures all three and adds rows to the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        serving = Serving("--out", str(folder / "drawer.h5"), "--pace", "1", "--horizon", "1000000")
        try:
            ways = {"client": lambda: without_browser(serving.address, seconds)}
            if CHROMIUM:
                ways["chromium"] = lambda: in_browser(serving.address, seconds, folder / "chromium")
            for way, measure in ways.items():
                rate, delay, count, *size = measure()
                print(f"{way:10} {rate:6.1f} frames/s  {delay:6.1f} ms  load {busy():.1f}", size)
                row = {"way": way, "frames_per_second": rate, "latency_ms_95": delay, "inputs": count}
                append_row(TABLE, row | {"load": busy(), "cores": available_cores()})
            early, late = malformed(serving.address, serving.process.pid)
            print(f"memory after {MALFORMED // 10} malformed messages {early:.1f} MB, after {MALFORMED} {late:.1f} MB")
            rate, delay, count, _ = without_browser(serving.address, 3.0)
            row = {"way": "client, afterwards", "frames_per_second": rate, "latency_ms_95": delay, "inputs": count}
            append_row(TABLE, row | {"load": busy(), "cores": available_cores()})
        finally:
            serving.kill()


if __name__ == "__main__":
    main()
