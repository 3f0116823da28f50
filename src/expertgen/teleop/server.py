"""The server: one port for the page, its websocket and the film of the last episode; one person at a time.

One thread simulates, talks and keeps; another one draws. The simulation runs at the task's control rate times the pace
that the person chose, and only while inputs keep coming: nobody's absence is recorded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from expertgen.demos.recorder import Recorder
from expertgen.errors import ExpertgenError, UsageError
from expertgen.tasks.metaworld import MetaWorldEnv
from expertgen.teleop.config import TeleopConfig
from expertgen.teleop.door import answer
from expertgen.teleop.pictures import HEIGHT, VIEWS, WIDTH, Artist, OpenGLArtist, jpeg, make_artist
from expertgen.teleop.protocol import (
    MAX_MESSAGE,
    PACES,
    Command,
    Input,
    Message,
    ProtocolError,
    RateLimit,
    TooManyError,
    parse_message,
    picture_message,
)
from expertgen.vision.scene import Scene, capture

PATIENCE = 0.3
"""Without an input for so long [s], the simulation waits."""

FRAMES_PER_SECOND = 30.0
"""Pictures that are drawn at most."""

INSET_EVERY = 3
"""The small picture is drawn once for so many large ones."""

CHECKPOINT_SECONDS = 1.0
"""A crash loses no more of an episode than this."""

BUSY, MALFORMED, TOO_MANY = 4001, 1007, 1008
"""Codes with which connections are closed."""

_STATE_SECONDS = 0.1
_LOGGER = logging.getLogger("expertgen.teleop")
_LOGGER.addHandler(logging.NullHandler())
_LOGGER.propagate = False  # a browser that closes a connection is no news


class TeleopServer:
    """Lets one person at a time demonstrate a task.

    Args:
        env: a single environment that cameras can see.
        recorder: what records it.
        token: what an address must contain to be answered.
        config: how to work.
    """

    def __init__(self, env: MetaWorldEnv, recorder: Recorder, token: str, config: TeleopConfig) -> None:
        self._env, self._task, self._recorder, self._token, self._config = env, env.task, recorder, token, config
        self._goal = next((field.columns for field in self._task.fields if field.name == "goal_position"), None)
        self._artists = ThreadPoolExecutor(1, "artist")
        self._person: ServerConnection | None = None
        self._pace = config.pace
        self._views = [0, 1]  # shown large, shown small
        self._input: Input | None = None
        self._input_time = -np.inf
        self._shown = 0  # number of the last input that went into the simulation
        self._film: list[bytes] = []
        self._film_number = 0
        self._fresh = asyncio.Event()  # there is something new to draw
        self._start_shown = False  # nobody begins before the start was seen
        self._note = ""
        if recorder.recovered:
            self._note = f"{recorder.recovered} control steps of an interrupted episode were brought back."

    async def run(self, started: Callable[[str], None]) -> None:
        """Serves until it is cancelled.

        Args:
            started: called once, with the address of the page.

        Raises:
            UsageError: if the port is taken or nothing can be drawn.
        """
        loop = asyncio.get_running_loop()
        model, data = self._env.models[0], self._env.datas[0]
        artist = await loop.run_in_executor(self._artists, make_artist, self._config.renderer, model, data)
        for place, view in enumerate(self._views):  # what stands still takes a while to draw for the first time
            await loop.run_in_executor(self._artists, _picture, artist, capture(data), view, place, None)
        try:
            server = await serve(
                self._talk, self._config.host, self._config.port, process_request=self._answer, max_size=MAX_MESSAGE,
                max_queue=32, compression=None, ping_interval=5, ping_timeout=10, logger=_LOGGER,
            )  # fmt: skip
        except OSError as error:
            place = f"{self._config.host}:{self._config.port}"
            raise UsageError(f"cannot listen on {place} ({error.strerror}); choose another --host or --port") from None
        try:
            async with server:
                started(self._address(server))
                async with asyncio.TaskGroup() as tasks:
                    for work in (self._simulate(), self._draw(artist), self._report(), self._checkpoint()):
                        tasks.create_task(work)
        finally:
            if isinstance(artist, OpenGLArtist):
                await loop.run_in_executor(self._artists, artist.close)

    def _address(self, server: Server) -> str:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        if host in ("0.0.0.0", "::"):
            host = _own_address()
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/?token={self._token}"

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        return answer(request, self._token, self._film)

    # The person

    async def _talk(self, connection: ServerConnection) -> None:
        """Serves one connection: the person's, or that of somebody who comes second and is told so."""
        if self._person is not None:
            with suppress(ConnectionClosed):
                await connection.send(json.dumps({"kind": "busy"}))
                await connection.close(BUSY, "another browser is at the controls")
            return
        self._person = connection
        self._input, self._input_time = None, -np.inf
        try:
            with suppress(ConnectionClosed):
                await self._listen(connection)
        except ProtocolError as error:
            self._person = None  # before the goodbyes, which take a while
            await connection.close(TOO_MANY if isinstance(error, TooManyError) else MALFORMED, str(error))
        finally:
            if self._person is connection:
                self._person = None

    async def _listen(self, connection: ServerConnection) -> None:
        await connection.send(json.dumps(self._hello()))
        await self._send_state()
        self._fresh.set()
        limit, views = RateLimit(), tuple(view.name for view in VIEWS)
        async for text in connection:
            limit.count()
            await self._hear(parse_message(text, self._task.action_size, views))

    async def _hear(self, message: Message) -> None:
        if isinstance(message, Input):
            self._input, self._input_time = message, asyncio.get_running_loop().time()
            return
        if isinstance(message, Command):
            self._command(message)
        elif message.pace is not None:
            self._pace = message.pace
        elif message.view is not None:
            self._show(message.view)
        await self._send_state()
        self._fresh.set()

    def _command(self, command: Command) -> None:
        before = self._recorder.kept, self._recorder.successes
        try:
            {
                "stop": self._recorder.stop,
                "keep": self._recorder.keep,
                "drop": self._recorder.drop,
                "redo": self._recorder.redo,
            }[command.verb]()
            self._note = ""
            if self._recorder.kept > before[0]:
                kind = "success" if self._recorder.successes > before[1] else "failure"
                self._note = f"Kept as a {kind}: episode {self._recorder.kept} in {self._recorder.path}."
            if command.verb != "stop":
                self._input, self._start_shown = None, False  # the next episode begins with a new input
                self._recorder.checkpoint()
        except ExpertgenError as error:  # a full disk: nothing is lost, and the person can try again
            self._note = f"Not saved: {error}"

    def _show(self, name: str) -> None:
        chosen = next(i for i, view in enumerate(VIEWS) if view.name == name)
        if chosen == self._views[1]:
            self._views.reverse()
        self._views[0] = chosen

    # The four tasks that run all the time

    async def _simulate(self) -> None:
        """Steps at the control rate while the person steers."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due, loop.time() - 0.1) + 1 / (self._task.control_rate * self._pace)
            await asyncio.sleep(max(0.0, due - loop.time()))
            current = self._input
            if current is None or self._held() or self._recorder.phase == "ended":
                continue
            if self._recorder.phase == "ready":
                if not self._start_shown:
                    continue
                self._film = []
            self._recorder.step(np.array(current.action, np.float32))
            self._shown = current.number
            self._fresh.set()
            if self._recorder.phase == "ended":
                await self._send_state()

    async def _draw(self, artist: Artist) -> None:
        """Draws the newest moment, as often as there is one, and sends it."""
        loop = asyncio.get_running_loop()
        due, count, ran = 0.0, 0, False
        while True:
            await self._fresh.wait()
            due = max(due + 1 / FRAMES_PER_SECOND, loop.time())
            await asyncio.sleep(due - loop.time())
            self._fresh.clear()
            if self._person is None:
                continue
            scene, steps, number = capture(self._env.datas[0]), self._recorder.steps, self._shown
            seed = self._recorder.seed
            runs = self._recorder.phase == "running"
            over, ran = ran and not runs, runs
            mark = None if self._goal is None else self._recorder.observation[self._goal]
            for place, view in enumerate(self._views):
                if place == 1 and runs and count % INSET_EVERY:
                    continue
                picture = await loop.run_in_executor(self._artists, _picture, artist, scene, view, place, mark)
                if place == 0 and steps and (runs or over):
                    self._film.append(picture)
                with suppress(ConnectionClosed, AttributeError):  # the person may have left meanwhile
                    await self._person.send(picture_message(view, number, steps, picture))
            count += 1
            self._film_number += over
            first = not (self._start_shown or self._fresh.is_set()) and seed == self._recorder.seed
            self._start_shown |= first
            if over or first:
                await self._send_state()

    async def _report(self) -> None:
        """Sends the state ten times a second while an episode is under way."""
        while True:
            await asyncio.sleep(_STATE_SECONDS)
            if self._recorder.phase == "running":
                await self._send_state()

    async def _checkpoint(self) -> None:
        """Saves the episode at hand once a second."""
        saved = 0
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            if self._recorder.steps not in (0, saved):
                saved = self._recorder.steps
                try:
                    self._recorder.checkpoint()
                except ExpertgenError as error:
                    self._note = f"Not saved: {error}"

    # What the page is told

    def _held(self) -> bool:
        return asyncio.get_running_loop().time() - self._input_time > PATIENCE

    async def _send_state(self) -> None:
        with suppress(ConnectionClosed, AttributeError):
            await self._person.send(json.dumps(self._state()))  # pyright: ignore[reportOptionalMemberAccess]

    def _hello(self) -> dict[str, Any]:
        views = [(view.name, *view.axes()) for view in VIEWS]
        return {
            "kind": "hello",
            "task": self._task.id,
            "description": self._task.description,
            "success": self._task.success,
            "actions": self._task.action_names,
            "rate": self._task.control_rate,
            "horizon": self._task.horizon,
            "wanted": self._config.episodes,
            "file": str(self._recorder.path),
            "width": WIDTH,
            "height": HEIGHT,
            "paces": PACES,
            "views": [{"name": n, "right": r.tolist(), "away": a.tolist()} for n, r, a in views],
        }

    def _state(self) -> dict[str, Any]:
        recorder = self._recorder
        fields = self._task.named(recorder.observation)
        return {
            "kind": "state",
            "phase": recorder.phase,
            "shown": self._start_shown or recorder.steps > 0,
            "held": recorder.phase == "running" and (self._input is None or self._held()),
            "steps": recorder.steps,
            "success": recorder.success,
            "seed": recorder.seed,
            "kept": recorder.kept,
            "successes": recorder.successes,
            "pace": self._pace,
            "views": self._views,
            "film": self._film_number,
            "note": self._note,
            "fields": {
                name: [round(float(one), 4) for one in value]
                for name, value in fields.items()
                if not name.startswith("previous_")
            },
        }


def _own_address() -> str:
    """The address by which other machines most likely reach this one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing, but chooses a network
        return probe.getsockname()[0]
    return socket.gethostname()


def _picture(artist: Artist, scene: Scene, view: int, place: int, mark: np.ndarray | None) -> bytes:
    size = {"width": WIDTH >> place, "height": HEIGHT >> place}
    camera = VIEWS[view].camera
    return jpeg(artist.frame(scene, replace(camera, name=f"{camera.name} {place}", **size), mark))
