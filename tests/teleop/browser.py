"""Headless Chromium, driven through its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 60.0

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip


class Browser:
    """A browser process; `open` gives pages of it."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM
        command = [CHROMIUM, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = folder / "DevToolsActivePort"
        wait_for(lambda: port.exists() and port.read_text().count("\n"))
        self._address = f"http://127.0.0.1:{port.read_text().splitlines()[0]}"

    def open(self, address: str, width: int = 1280, height: int = 800, mobile: bool = False) -> Page:
        request = urllib.request.Request(f"{self._address}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request) as answer:
            page = Page(json.load(answer)["webSocketDebuggerUrl"])
        page.call("Page.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        page.call("Emulation.setTouchEmulationEnabled", enabled=mobile)
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        page.call("Page.navigate", url=address)
        return page

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


class Page:
    """One tab."""

    def __init__(self, address: str) -> None:
        self._socket = connect(address, max_size=None, compression=None)
        self._number = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''")

    def key(self, code: str, down: bool) -> None:
        self.call("Input.dispatchKeyEvent", type="keyDown" if down else "keyUp", code=code, key=code)

    def press(self, code: str) -> None:
        self.key(code, True)
        self.key(code, False)

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def reload(self) -> None:
        self.call("Page.reload")

    def screenshot(self, path: Path) -> None:
        self.call("Page.bringToFront")
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        self._socket.close()


def wait_for(condition: Any, patience: float = PATIENCE) -> Any:
    """Asks again and again until the answer is true; returns it."""
    until = time.monotonic() + patience
    while not (answer := condition()):
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)
    return answer
