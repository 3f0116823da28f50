"""The server, spoken to without a browser: who is let in, what is recorded, and what closes a connection."""

from __future__ import annotations

import asyncio
import io
import json
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

websockets = pytest.importorskip("websockets", reason="the extra 'serve' is not installed")
pytest.importorskip("metaworld", reason="the extra 'vision' is not installed")

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import ClientConnection, connect  # noqa: E402

from expertgen.demos.recorder import Recorder  # noqa: E402
from expertgen.demos.store import DemoSet  # noqa: E402
from expertgen.errors import UsageError  # noqa: E402
from expertgen.tasks.metaworld import MetaWorldEnv  # noqa: E402
from expertgen.tasks.registry import get_task  # noqa: E402
from expertgen.teleop.config import TeleopConfig  # noqa: E402
from expertgen.teleop.page import page  # noqa: E402
from expertgen.teleop.server import BUSY, MALFORMED, TOO_MANY, TeleopServer  # noqa: E402
from tests.teleop.browser import wait_for  # noqa: E402
from tests.teleop.test_protocol import BAD  # noqa: E402

TOKEN = "a token"
PATIENCE = 60


class Running:
    """A server in a thread of this process."""

    def __init__(self, path: Path) -> None:
        self.recorder = Recorder(MetaWorldEnv(get_task("reach"), 1), path, "test")
        server = TeleopServer(self.recorder._env, self.recorder, TOKEN, TeleopConfig(pace=1.0, episodes=2))
        addresses: queue.Queue[str] = queue.Queue()

        async def serve() -> None:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            await server.run(addresses.put)

        def main() -> None:
            with suppress(asyncio.CancelledError):
                asyncio.run(serve())

        self._thread = threading.Thread(target=main)
        self._thread.start()
        self.address = addresses.get(timeout=PATIENCE)
        self.host = self.address.split("/")[2]

    def connect(self, token: str = TOKEN, origin: str | None = None) -> ClientConnection:
        address = f"ws://{self.host}/socket?token={token.replace(' ', '%20')}"
        return connect(address, origin=origin or f"http://{self.host}", compression=None, max_size=None)

    def get(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        try:
            with urllib.request.urlopen(f"http://{self.host}{path}") as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        self.recorder.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Running]:
    one = Running(tmp_path_factory.mktemp("teleop") / "reach.h5")
    yield one
    one.close()


def state_where(socket: ClientConnection, condition) -> dict:
    """Reads messages until a state fulfils a condition."""
    while True:
        message = socket.recv(timeout=PATIENCE)
        if isinstance(message, str):
            values = json.loads(message)
            if values["kind"] == "state" and condition(values):
                return values


def closing_code(socket: ClientConnection) -> int:
    try:
        while True:
            socket.recv(timeout=PATIENCE)
    except ConnectionClosed as closed:
        return closed.rcvd.code


def test_a_wrong_token_gets_nothing(running):
    for path in ("/", "/?token=", "/?token=another", "/film?token=another", "/?token=%ff", "/socket"):
        status, body, headers = running.get(path)
        assert (status, body) == (403, b""), path
        assert "Content-Security-Policy" not in headers
    for token in ("another", ""):
        with pytest.raises(InvalidStatus, match="403"):
            running.connect(token)


def test_another_site_cannot_connect_even_with_the_token(running):
    for origin in ("http://example.org", f"https://{running.host}", "null"):
        with pytest.raises(InvalidStatus, match="403"):
            running.connect(origin=origin)


def test_the_page_loads_nothing_from_elsewhere(running):
    status, body, headers = running.get("/?token=a%20token")
    assert (status, body) == (200, page()[0])
    text = body.decode()
    assert "https:" not in text
    assert "http:" not in text
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "/* style */" not in text
    assert "/* script */" not in text
    assert running.get("/nowhere?token=a%20token")[0] == 404


def test_an_episode_is_recorded_and_kept(running):
    from PIL import Image

    with running.connect() as socket:
        hello = json.loads(socket.recv(timeout=PATIENCE))
        assert (hello["kind"], hello["task"], hello["wanted"]) == ("hello", "reach", 2)
        assert hello["views"][0] == {"name": "right", "right": [0, 1, 0], "away": [-1, 0, 0]}
        state_where(socket, lambda state: state["phase"] == "ready" and state["shown"])
        number = 0
        state = {"phase": "ready"}
        while state["phase"] != "ended":
            hand, goal = (running.recorder.observation[columns] for columns in (slice(0, 3), slice(36, 39)))
            number += 1
            action = [*np.clip((goal - hand) / 0.1, -1, 1).tolist(), -1]
            socket.send(json.dumps({"number": number, "action": action}))
            message = socket.recv(timeout=PATIENCE)
            if isinstance(message, bytes):
                assert Image.open(io.BytesIO(message[16:])).size in ((320, 240), (160, 120))
            elif json.loads(message)["kind"] == "state":
                state = json.loads(message)
        assert state["success"]
        state = state_where(socket, lambda state: state["film"] == 1)
        socket.send('{"do": "keep"}')
        state = state_where(socket, lambda state: state["phase"] == "ready")
        assert (state["kept"], state["successes"]) == (1, 1)
    assert running.get("/film?token=a%20token")[1][4:6] == b"\xff\xd8"  # a JPEG file
    assert DemoSet.load(running.recorder.path).demos[0].success
    assert not running.recorder.unfinished.exists()


def test_nothing_is_recorded_while_nobody_steers(running):
    with running.connect() as socket:
        state_where(socket, lambda state: state["phase"] == "ready" and state["shown"])
        socket.send('{"number": 1, "action": [0, 0, 0, 0]}')
        state = state_where(socket, lambda state: state["held"])
        steps = state["steps"]
        assert 0 < steps < 80
    with running.connect() as socket:  # a reloaded page finds the episode as it was left
        state = state_where(socket, lambda state: True)
        assert (state["phase"], state["held"], state["steps"]) == ("running", True, steps)
        wait_for(running.recorder.unfinished.exists)
        socket.send('{"do": "drop"}')
        state_where(socket, lambda state: state["phase"] == "ready")


def test_a_second_browser_is_turned_away_politely(running):
    with running.connect() as first:
        state_where(first, lambda state: True)
        with running.connect() as second:
            assert json.loads(second.recv(timeout=PATIENCE)) == {"kind": "busy"}
            assert closing_code(second) == BUSY
        first.send('{"pace": 0.5}')
        assert state_where(first, lambda state: state["pace"] == 0.5)
    with running.connect() as third:
        assert json.loads(third.recv(timeout=PATIENCE))["kind"] == "hello"


def enter(running) -> ClientConnection:
    """Connects, when the one before has left."""
    while True:
        socket = running.connect()
        if json.loads(socket.recv(timeout=PATIENCE))["kind"] == "hello":
            return socket
        socket.close()


def test_malformed_messages_close_their_own_connection_only(running):
    for text in BAD:
        with enter(running) as socket:
            socket.send(text)
            assert closing_code(socket) == MALFORMED, text
    with enter(running) as socket:
        socket.send("7" * 5000)
        assert closing_code(socket) == 1009
    with enter(running) as socket:
        for _ in range(1000):
            try:
                socket.send('{"pace": 0.25}')
            except ConnectionClosed:
                break
        assert closing_code(socket) == TOO_MANY
    with enter(running) as socket:
        socket.send('{"view": "above"}')
        assert state_where(socket, lambda state: state["views"] == [1, 0])


def test_what_cannot_be_served_is_refused(running, tmp_path):
    port = int(running.host.split(":")[1])
    env = running.recorder._env
    for config, said in (
        (lambda: TeleopConfig(pace=2.0), r"pace must be one of 0.125, 0.25, 0.5, 1, not 2"),
        (lambda: TeleopConfig(episodes=0), "episodes must be at least 1, not 0"),
        (lambda: TeleopConfig(port=70000), "port must lie between 0 and 65535, not 70000"),
    ):
        with pytest.raises(UsageError, match=said):
            config()
    recorder = Recorder(env, tmp_path / "another.h5", "test")
    with pytest.raises(UsageError, match=rf"cannot listen on 127.0.0.1:{port} .* choose another --host or --port"):
        asyncio.run(TeleopServer(env, recorder, TOKEN, TeleopConfig(port=port)).run(print))
